"""An attempt at an item: run it as `weft run` runs a graph, and have what it came to ready to be published.

A bench needs no ledger, so attempts are the same wherever they are made; `settle` has a ledger know what one came to.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import orjson

from weft.engine import document, events
from weft.engine.deliver import versions
from weft.engine.errors import StoreError, WeftError
from weft.engine.farm.batches import dissolve, failed_together, graph_of
from weft.engine.farm.ledger import Entry, Ledger
from weft.engine.farm.publish import HIDDEN, Staged, stage
from weft.engine.graph import Graph
from weft.engine.plan import Plan
from weft.engine.session import Engine


@dataclass(frozen=True)
class Outcome:
    """What an attempt came to: files, or why there are none; neither where it was stopped.

    Args:
        staging: the folder of the attempt, which goes when the outcome is settled.
        seconds: that it took.
        error: what the item is blamed for.
        cause: what is wrong with the place that it ran at, such as a full disk, so that the whole job stops.
    """

    staging: Path
    staged: Staged | None = None
    seconds: float = 0.0
    error: str = ""
    cause: str = ""


@dataclass(frozen=True)
class Bench:
    """Where items of one job are run, one after the other.

    Args:
        folder: the job's.
        graph: the job's, before an item sets anything.
        worker: the name of who works here.
    """

    folder: Path
    graph: Graph
    engine: Engine
    worker: str

    def attempt(self, entry: Entry, stopped: Callable[[], bool]) -> Outcome:
        """Run one item.

        Args:
            stopped: asked in every step.
        """
        staging = self.folder / HIDDEN / "attempts" / f"{entry.id[:16]}.{entry.attempt}.{self.worker}"
        path = log_path(self.folder, entry)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            staging.mkdir(parents=True, exist_ok=True)
            with path.open("ab", buffering=0) as log:
                return self._run(entry, staging, stopped, _Log(log))
        except (StoreError, OSError) as fault:
            return Outcome(staging, cause=str(fault))
        except WeftError as fault:
            return Outcome(staging, error=str(fault))

    def _run(self, entry: Entry, staging: Path, stopped: Callable[[], bool], log: _Log) -> Outcome:
        log.write(event="attempt", item=entry.id, attempt=entry.attempt, worker=self.worker, settings=entry.settings)
        graph = graph_of(self.folder, self.graph, entry, self.engine.catalog)
        started = time.perf_counter()
        self.engine.output = staging
        plan = self.engine.plan(graph)
        result = self.engine.execute(plan, listener=log, cancelled=stopped)
        if result.status == "cancelled":
            return Outcome(staging)
        if result.failures and failed_together(plan, result) and dissolve(self.folder, entry):
            log.write(event="batch_dissolved", batch=entry.shared)
            return self._run(entry, staging, stopped, log)
        if result.failures:
            return Outcome(staging, error="\n".join(map(str, result.failures)))
        seconds = time.perf_counter() - started
        sidecar = {**self._sidecar(entry, graph, plan, seconds), "ran": result.ran}
        return Outcome(staging, stage(self.folder, entry.name, result.paths, sidecar), seconds)

    def _sidecar(self, entry: Entry, graph: Graph, plan: Plan, seconds: float) -> dict[str, Any]:
        """All that is known of an item."""
        return {
            "id": entry.id,
            "number": entry.number,
            "name": entry.name,
            "settings": entry.settings,
            "keys": {step.call.id: step.recipe for step in plan.steps},
            "contents": {name: found.digest for step in plan.steps for name, found in step.found.items()},
            "versions": versions(),
            "device": self.engine.device,
            "precision": plan.settings,
            "seconds": round(seconds, 4),
            "worker": self.worker,
            "attempt": entry.attempt,
            "graph": document.plain(graph),
        }


def settle(ledger: Ledger, worker: str, entry: Entry, outcome: Outcome) -> bool:
    """Have a ledger know what an attempt came to; whether that published the item."""
    try:
        if outcome.cause:
            ledger.note(state="stopped", cause=outcome.cause)
        elif outcome.error:
            ledger.fail(worker, entry, outcome.error)
        elif outcome.staged:
            return _published(ledger, worker, entry, outcome.seconds, outcome.staged)
    except OSError as fault:
        ledger.note(state="stopped", cause=str(fault))
    except WeftError as fault:
        ledger.fail(worker, entry, str(fault))
    finally:
        shutil.rmtree(outcome.staging, ignore_errors=True)
    return False


def _published(ledger: Ledger, worker: str, entry: Entry, seconds: float, staged: Staged) -> bool:
    published = ledger.complete(worker, entry, seconds, staged.publish)
    with log_path(ledger.path.parent.parent, entry).open("ab", buffering=0) as log:
        _Log(log).write(event="published" if published else "refused", item=entry.id, attempt=entry.attempt)
    return published


def log_path(folder: Path, entry: Entry) -> Path:
    """Where the log of an attempt lies."""
    return folder / HIDDEN / "logs" / f"{entry.id[:16]}.{entry.attempt}.log"


@dataclass(frozen=True)
class _Log:
    """Writes what happens in an attempt as JSON lines, each at once, so that a crash leaves what went before."""

    file: IO[bytes]

    def __call__(self, event: events.Event) -> None:
        if not isinstance(event, events.NodeProgress):
            self.write(**event.plain())

    def write(self, **record: Any) -> None:
        """A line."""
        line = {"at": round(time.time(), 3), **record}
        self.file.write(orjson.dumps(line, default=str, option=orjson.OPT_APPEND_NEWLINE))
