"""An attempt at an item: run it as `weft run` runs a graph, and have its files ready to be published.

An `ItemRunner` needs no ledger, so attempts are the same under every launcher; `committing` records one in a ledger.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from errno import EDQUOT, EFBIG, ENOSPC
from functools import cached_property, partial
from io import FileIO
from itertools import cycle
from pathlib import Path
from typing import IO, Any

import orjson

from weft.engine import events
from weft.engine.atomic_write import make_folder
from weft.engine.errors import ChangedFile, InputError, NodeError, StoreError, described, message_of
from weft.engine.farm.merge.attempt_graph import AttemptGraphs, failed_together
from weft.engine.farm.work.item_clock import ItemClock
from weft.engine.farm.work.job_facts import JobFacts
from weft.engine.farm.work.ledger import Entry
from weft.engine.farm.work.publishing import HIDDEN, Staged, dissolve, stage
from weft.engine.graph import document
from weft.engine.graph.graph import Graph
from weft.engine.interrupts import is_interrupt
from weft.engine.out_of_memory import is_out_of_memory
from weft.engine.planning.planner import Plan
from weft.engine.planning.replan import PLANS
from weft.engine.process import machine, process_start
from weft.engine.running.delivery import versions
from weft.engine.running.result import Result
from weft.engine.session import Engine
from weft.engine.unicode_text import json_text

TURNS = 2
"""Attempts of one worker that may be under way at once: one that runs, and one that is committed."""


@dataclass(frozen=True)
class AttemptOutcome:
    """The outcome of an attempt: files, or why there are none; neither where it was stopped.

    Args:
        staging: the folder of the attempt, which is emptied when the outcome is committed.
        finished: makes its files ready, which waits for the disk.
        staged: its files, when they are.
        seconds: that it took.
        error: what the item is blamed for.
        exhausted: whether memory ran out, so that the same would fail again.
        cause: what is wrong with the place that it ran at, such as a full disk, so that the whole job stops.
        unkept: why the store kept nothing of it, where that could not be written.
    """

    staging: Path
    finished: Callable[[], Staged] | None = None
    staged: Staged | None = None
    seconds: float = 0.0
    error: str = ""
    exhausted: bool = False
    cause: str = ""
    unkept: str = ""

    @property
    def stopped(self) -> bool:
        """Whether the attempt was given up before there was an outcome."""
        return not (self.finished or self.staged or self.error or self.cause)

    def ready(self) -> AttemptOutcome:
        """The outcome with its files ready to be published, or why they cannot be."""
        if self.finished is None:
            return self
        try:
            return replace(self, finished=None, staged=self.finished())
        except OSError as fault:
            return replace(self, finished=None, cause=message_of(fault))
        except Exception as fault:
            return replace(self, finished=None, error=described(fault))

    def clear(self) -> None:
        """Empty the folder for a later attempt."""
        try:
            for file in self.staging.iterdir():
                file.unlink()
        except OSError:
            shutil.rmtree(self.staging, ignore_errors=True)


def _wait_on(entry: Entry, reason: str) -> None:
    """Leave an item that is overdue to end by itself."""


@dataclass(frozen=True)
class ItemRunner:
    """Where items of one job are run, one after the other.

    Args:
        folder: the job's.
        graph: the job's, before an item sets anything.
        worker: the name of who works here.
        spare: what is set besides, once, where an item runs out of memory; the job's `on_out_of_memory`.
        origins: the digests of the node types and files that the items' ids are made of.
        limit: seconds that an attempt may take; None without a limit.
        overdue: called in another thread with an item, and with the reason, where its run does not end at the limit; to
            end the process, which nothing else does.
    """

    folder: Path
    graph: Graph
    engine: Engine
    worker: str
    spare: Mapping[str, Any] = field(default_factory=dict)
    origins: Mapping[str, str] = field(default_factory=dict)
    limit: float | None = None
    overdue: Callable[[Entry, str], object] = _wait_on
    _known: dict[str, dict[str, Any]] = field(default_factory=dict, repr=False)

    @cached_property
    def _folders(self) -> Iterator[Path]:
        """The folder of each attempt."""
        return cycle([staging_path(self.folder, self.worker, turn) for turn in range(TURNS)])

    @cached_property
    def _graphs(self) -> AttemptGraphs:
        return AttemptGraphs(self.folder, self.graph, self.engine.catalog)

    @classmethod
    def of(
        cls,
        folder: Path,
        facts: JobFacts,
        worker: str,
        device: str = "",
        overdue: Callable[[Entry, str], object] | None = None,
    ) -> ItemRunner:
        """A runner of a job with an engine of its own.

        Args:
            device: instead of the job's.
            overdue: called where the run of an item does not end at the job's limit.

        Raises:
            WeftError: where the job's graph, its nodes or its store cannot be used here.
        """
        engine = facts.setup.engine(**({"device": device} if device else {}))
        # The limit is for the graph of one item; an item in a batch is run with nodes of the others.
        engine.limits = replace(engine.limits, max_nodes=facts.batch * engine.limits.max_nodes)
        rules = (facts.on_out_of_memory, facts.origins, facts.item_timeout, overdue or _wait_on)
        return cls(folder, facts.read_graph(), engine, worker, *rules)

    def close(self) -> None:
        """Close the engine and remove the folders of attempts, when all are committed."""
        self.engine.close()
        for turn in range(TURNS):
            shutil.rmtree(staging_path(self.folder, self.worker, turn), ignore_errors=True)

    def attempt(self, entry: Entry, stopped: Callable[[], bool]) -> AttemptOutcome:
        """Run one item. Whatever is raised meanwhile, but for an interrupt, is in the outcome.

        Args:
            stopped: asked in every step.
        """
        if self.limit is None:
            return self._attempt(entry, stopped)
        with ItemClock(self.limit, partial(self._overdue, entry)) as clock:
            outcome = self._attempt(entry, lambda: stopped() or clock.is_over())
        if outcome.stopped and not stopped():
            return replace(outcome, error=self._too_long())
        return outcome

    def _too_long(self) -> str:
        return f"it did not end within {self.limit:g} s, the `item_timeout` of the job"

    def _overdue(self, entry: Entry) -> None:
        with opened_log(self.folder, entry) as log:
            Log(log).write(event="overdue", item=entry.id, attempt=entry.attempt, seconds=self.limit)
        self.overdue(entry, self._too_long())

    def _attempt(self, entry: Entry, stopped: Callable[[], bool]) -> AttemptOutcome:
        staging = next(self._folders)
        try:
            make_folder(staging)
            with opened_log(self.folder, entry) as log:
                return self._run(entry, staging, stopped, Log(log))
        except (StoreError, OSError) as fault:
            return AttemptOutcome(staging, cause=message_of(fault))
        except BaseException as fault:
            if is_interrupt(fault):
                raise
            if isinstance(fault, InputError) and fault.code == "unwritable-file":  # the folder of the attempt
                return AttemptOutcome(staging, cause=message_of(fault))
            return AttemptOutcome(staging, error=described(fault))

    def _run(self, entry: Entry, staging: Path, stopped: Callable[[], bool], log: Log) -> AttemptOutcome:
        log.write(event="attempt", item=entry.id, attempt=entry.attempt, worker=self.worker, settings=entry.settings)
        outcome = self._try(entry, staging, stopped, log, {})
        if outcome.exhausted and self.spare:
            log.write(event="out_of_memory", item=entry.id, settings=self.spare)
            outcome = self._try(entry, staging, stopped, log, self.spare)
        return outcome

    def _try(
        self, entry: Entry, staging: Path, stopped: Callable[[], bool], log: Log, spare: Mapping[str, Any]
    ) -> AttemptOutcome:
        """Run an item: in its batch, or by itself with what spares memory."""
        graph = self.graph.replace({**entry.settings, **spare}) if spare else self._graphs.of(entry)
        started = time.perf_counter()
        plan, result = self._executed(graph, log, stopped, staging)
        if result.status == "cancelled":
            return AttemptOutcome(staging)
        if result.failures and not spare and failed_together(plan, result) and dissolve(self.folder, entry.shared):
            log.write(event="batch_dissolved", batch=entry.shared)
            del result  # its errors hold on to the memory of the calls that failed
            return self._try(entry, staging, stopped, log, {})
        if result.failures:
            return self._failed(staging, result.failures, spare)
        seconds = time.perf_counter() - started
        sidecar = {**self._sidecar(entry, graph, plan, seconds), "ran": result.ran}
        sidecar["outputs"] = result.plain()["outputs"]
        sidecar |= {"on_out_of_memory": spare} if spare else {}
        sidecar |= {"peak": result.peak} if result.peak else {}
        sidecar |= {"safety": [one.plain() for one in result.verdicts.values()]} if result.verdicts else {}
        finished = partial(stage, self.folder, entry.name, result.paths, sidecar)
        unkept = next((one.message for one in result.warnings if one.code == "unusable-store"), "")
        return AttemptOutcome(staging, finished, seconds=seconds, unkept=unkept)

    def _executed(self, graph: Graph, log: Log, stopped: Callable[[], bool], staging: Path) -> tuple[Plan, Result]:
        """Run a graph by a plan that goes by the same files as the ids of the items.

        Raises:
            InputError: where one of them is another by now.
        """
        for left in reversed(range(PLANS)):
            plan = self.engine.plan(graph)
            self._refuse_changed(plan)
            try:
                result = self.engine.execute(plan, listener=log, cancelled=stopped, output=staging, plans=1)
            except ChangedFile:
                if not left:
                    raise
                continue
            if not any(isinstance(failure.cause, ChangedFile) for failure in result.failures):
                break
        return plan, result

    def _refuse_changed(self, plan: Plan) -> None:
        for name, content in plan.origins.items():
            if self.origins.get(name, content) != content:
                raise InputError(
                    f"{name} is not what it was when the job was submitted",
                    "submit the job again; items that this does not concern stay done",
                    "changed-since-submit",
                )

    def _failed(self, staging: Path, failures: Sequence[NodeError], spare: Mapping[str, Any]) -> AttemptOutcome:
        error = "\n".join(map(str, failures))
        if any(map(ran_out_of_room, failures)):
            return AttemptOutcome(staging, cause=error)
        exhausted = any(is_out_of_memory(failure.cause) for failure in failures)
        if exhausted:
            tried = f"with {', '.join(map(str, spare))} set too" if spare else "`on_out_of_memory` says nothing to try"
            error = f"{error}\n    out of memory, {tried}: an item is not tried again as it was"
        return AttemptOutcome(staging, error=error, exhausted=exhausted)

    def _models(self, plan: Plan) -> Iterator[dict[str, Any]]:
        """The models of a plan, each once: what they are, their size on disk, precision, purpose and licence."""
        seen = set()
        for step in plan.steps:
            for name, one in step.call.type.inputs.items() if step.found else ():
                text = step.call.inputs.get(name)
                found = step.found.get(text) if isinstance(text, str) and one.resource else None
                if found is None or not one.resource or not found.resolved.kind or text in seen:
                    continue
                seen.add(text)
                if found.digest not in self._known:  # headers are read once for all items
                    resolved = found.resolved
                    size = sum(path.stat().st_size for path in resolved.files)
                    family = {"family": resolved.family} if resolved.family else {}
                    about = {"kind": resolved.kind, **family, "bytes": size, **one.resource.details(resolved)}
                    self._known[found.digest] = about
                yield {"source": text, **self._known[found.digest]}

    def _sidecar(self, entry: Entry, graph: Graph, plan: Plan, seconds: float) -> dict[str, Any]:
        """All that is known of an item."""
        return {
            "id": entry.id,
            "number": entry.number,
            "name": entry.name,
            "settings": entry.settings,
            "keys": {step.call.id: step.recipe for step in plan.steps},
            "contents": {name: found.digest for step in plan.steps for name, found in step.found.items()},
            "models": [*self._models(plan)],
            "versions": versions(),
            "device": self.engine.resolved_device,
            "precision": self.engine.resolved_precision,
            "seconds": round(seconds, 4),
            "worker": self.worker,
            "attempt": entry.attempt,
            "graph": document.plain(replace(graph, carries={}) if graph.carries else graph),
        }


def ran_out_of_room(fault: NodeError) -> bool:
    """Whether a node's picture had no room on the disk, which is no fault of the item's."""
    causes = (fault.cause, getattr(fault.cause, "__cause__", None))
    return any(isinstance(cause, OSError) and cause.errno in (ENOSPC, EDQUOT, EFBIG) for cause in causes)


def staging_path(folder: Path, worker: str, turn: int) -> Path:
    """The folder of an attempt until it is published; two take turns, since the one before may still be committed.

    The folders are used again, since file systems are slow to make files where many were just removed.
    """
    return folder / HIDDEN / "attempts" / f"{worker}.{turn % TURNS}.{machine()}"


def clear(folder: Path) -> None:
    """Remove what attempts left behind whose process, of this machine, is gone."""
    for left in (folder / HIDDEN / "attempts").glob(f"*-*.*.{machine()}"):
        if not process_start(int(left.name.partition("-")[0])):
            shutil.rmtree(left, ignore_errors=True)


def log_path(folder: Path, entry: Entry) -> Path:
    """Where the log of an attempt lies."""
    return Path(f"{folder}/{HIDDEN}/logs/{entry.id[:16]}.{entry.attempt}.log")


def opened_log(folder: Path, entry: Entry) -> FileIO:
    """The log of an attempt, for lines to be added; its folder is made where it is missing."""
    path = log_path(folder, entry)
    try:
        return FileIO(path, "ab")
    except FileNotFoundError:
        make_folder(path.parent)
        return FileIO(path, "ab")


@dataclass(frozen=True)
class Log:
    """Writes what happens in an attempt as JSON lines, each at once, so that a crash leaves what went before."""

    file: IO[bytes]

    def __call__(self, event: events.Event) -> None:
        if not isinstance(event, events.NodeProgress):
            self.write(**event.plain())

    def write(self, **record: Any) -> None:
        """A line."""
        line = {"at": round(time.time(), 3), **record}
        self.file.write(json_text(line, orjson.OPT_APPEND_NEWLINE, default=str))
