"""Answers a run from an earlier one that was equal, whoever ran that: the server, or a worker with a store of its own.

Two runs are equal where their requests are (`RunRequest.fingerprint`: the graph with its values, and what is wanted of
it) and the recipes of their plans (`run_recipe`: node types, files by content). A plan of the server's own says so
before anyone takes the run. Where the server cannot plan, since only workers have the models, the plan of the worker
that took it does. Of the earlier run the result and the files are given again, compared with their digests first; what
is not kept any more, or is damaged, is computed.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from weft.engine.keys import digest_file
from weft.engine.latest_entries import LatestEntries
from weft.engine.planning.planner import Plan
from weft.engine.serve.event_log import EventLog, EventLogs
from weft.engine.serve.result_files import FileRecord, file_in
from weft.engine.serve.run_queue import RunQueue
from weft.engine.serve.run_recipe import NOTHING, RunRecipe, recipe_of
from weft.engine.serve.served_run import RunEnd, ServedRun
from weft.engine.verdict import SafetyDemand

TIER = "earlier run"
"""What events call the place where a result was found."""

KEPT_RECIPES = 10_000
"""Of how many runs that wait or run the recipes are remembered."""

_RESULTS = frozenset({"artifact", "output", "warning"})
"""The events of an earlier run that are its results."""

_OF_THEN = frozenset({"unusable-store", "out-of-memory"})
"""The codes of warnings that are about the machine as it was then."""


@dataclass(frozen=True, eq=False)
class EarlierRuns:
    """The runs that have ended well and whose results are kept.

    Args:
        folder: each run has its files in a folder of its id in there.
        trusted: whether what a worker gives is still believed, by the name of its caller.
        demand: what pictures are judged by.
    """

    queue: RunQueue
    logs: EventLogs
    folder: Path
    trusted: Callable[[str], bool] = lambda caller: True
    demand: SafetyDemand | None = None
    _without: LatestEntries[str, bool] = field(default_factory=lambda: LatestEntries(KEPT_RECIPES), repr=False)
    _recipes: LatestEntries[str, RunRecipe] = field(default_factory=lambda: LatestEntries(KEPT_RECIPES), repr=False)

    def planned(self, run: ServedRun, plan: Plan) -> None:
        """Remember what decides the result of a run."""
        self._recipes.put(run.id, recipe_of(plan, self.demand))

    def may_differ(self, id: str) -> bool:
        """Whether it is known of a run that an equal one may give another result."""
        return self._recipes.get(id) == NOTHING

    def is_none(self, run: ServedRun) -> None:
        """Note that a worker has found no earlier run that equals one."""
        self._without.put(run.id, True)

    def unknown(self, id: str) -> bool:
        """Whether nobody knows yet if an earlier run equals one."""
        return self._recipes.get(id) is None and self._without.get(id) is None

    def equal_to(self, run: ServedRun, theirs: str = "") -> ServedRun | None:
        """An earlier run that gives what a run would; None where there is none.

        Args:
            theirs: the key of the recipe by the plan of a worker.
        """
        keys = [f"worker {theirs}"] if theirs else []
        if (own := self._recipes.get(run.id)) and own.key:
            keys.append(f"server {own.key}")
        found = self.queue.with_recipe(run.id, keys) if keys else None
        return found if found and self._believed(found) else None

    def may_equal(self, run: ServedRun) -> bool:
        """Whether the plan of a worker could find that an earlier run equals one."""
        return not self.may_differ(run.id) and self.queue.with_recipe(run.id, ()) is not None

    def _believed(self, run: ServedRun) -> bool:
        return not run.worker or self.trusted(run.worker.partition("/")[0])

    def answer(
        self, run: ServedRun, theirs: str = "", holding: AbstractContextManager[None] | None = None
    ) -> RunEnd | None:
        """Give a run that was begun the result of an earlier one, with its files and their events; None where
        there is none, or its files are not kept any more.

        Args:
            theirs: as in `equal_to`.
            holding: what is entered while the folder of the run is filled.
        """
        began, earlier = time.monotonic(), self.equal_to(run, theirs)
        if earlier is None:
            return None
        result = earlier.result or {}
        with holding or nullcontext():
            linked = _linked(result["files"], self.folder / earlier.id, self.folder / run.id)
        if not linked:
            self.queue.forget_recipe(earlier.id)
            return None
        self._recipes.take(run.id)  # later runs are answered from the first one, by who computed it
        nodes = [*result["cached"], *result["ran"]]
        replayed = self.queue.replayed(earlier.id)
        log = self.logs.of(run.id)
        log.add({"event": "run_started", "run": 0, "cached": len(nodes), "undecided": 0})
        for event in replayed:
            log.add(_for(run, event))
        seconds = round(time.monotonic() - began, 6)
        counts = {"ran": 0, "cached": len(nodes), "seconds": seconds}
        log.add({"event": "run_finished", "status": "done", **counts})
        kept = {name: one for name, one in result.items() if name != "peak"}
        kept["warnings"] = [one for one in result["warnings"] if one.get("code") not in _OF_THEN]
        return RunEnd("done", {**kept, "ran": [], "cached": nodes, "seconds": seconds})

    def remembered(self, run: ServedRun, outcome: RunEnd, theirs: RunRecipe = NOTHING) -> RunEnd:
        """The end of a run with all by which later ones are answered.

        Args:
            theirs: the recipe by the plan of the worker that ran it.
        """
        own, log = self._recipes.take(run.id), self.logs.of(run.id)
        result = outcome.result or {}
        if outcome.state != "done" or result.get("unstable") or (own is not None and not own.key):
            return outcome
        if own is not None and (not run.lease or own.files == theirs.files):
            key = f"server {own.key}"
        else:
            key = f"worker {theirs.key}" if theirs.key else ""
        replayed, changed = _replayed(log)
        if not key or changed:  # files changed while it ran, so the plan by which they are known was another one
            return outcome
        return RunEnd(outcome.state, outcome.result, outcome.error, key, replayed)


def _replayed(log: EventLog) -> tuple[list[Mapping[str, Any]], bool]:
    """The events of a run that later ones are given; and whether a file changed while it ran."""
    replayed, changed = dict[str, Mapping[str, Any]](), False
    for number, event in log.after(0):
        kind = event.get("event")
        if kind in ("node_cached", "node_finished"):
            replayed[f"node {event['node']}"] = {
                "event": "node_cached",
                "node": event["node"],
                "type": event["type"],
                "tier": TIER,
            }
        elif kind in _RESULTS and event.get("code") not in _OF_THEN:
            replayed[str(number)] = {name: one for name, one in event.items() if name != "url"}
        changed = changed or kind == "file_changed"
    return [*replayed.values()], changed


def _for(run: ServedRun, event: Mapping[str, Any]) -> Mapping[str, Any]:
    """An event of an earlier run, as one of this."""
    if event.get("event") != "artifact":
        return event
    return {**event, "new": True, "url": f"/api/runs/{run.id}/files/{event['path']}"}


def _linked(files: Iterable[FileRecord], source: Path, folder: Path) -> bool:
    """Give a folder the files of another one; whether all of them are there, and as they were. Else it is empty."""
    shutil.rmtree(folder, ignore_errors=True)  # what an earlier attempt has left
    if _all_linked(files, source, folder):
        return True
    shutil.rmtree(folder, ignore_errors=True)
    return False


def _all_linked(files: Iterable[FileRecord], source: Path, folder: Path) -> bool:
    try:
        for one in files:
            path, target = file_in(source, one["name"]), folder / one["name"]
            if path is None:
                return False
            target.parent.mkdir(parents=True, exist_ok=True)
            _link(path, target)
            if digest_file(target) != one["digest"]:
                return False
    except OSError:  # it was forgotten meanwhile, or the disk is full
        return False
    return True


def _link(path: Path, target: Path) -> None:
    with suppress(OSError):  # a file system without links
        os.link(path, target)
        return
    shutil.copyfile(path, target)
