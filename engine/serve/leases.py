"""Runs that workers on other machines have taken from the queue: who has which, until when, and what they send of it.

A lease is one attempt of one worker at one run. The queue's file has its id, so a server that ended and came back
knows it; how long it lasts is kept here alone, and each request of the worker extends it. What a worker sends counts
only while its lease is the run's present one, and that is looked at inside the queue's transaction: a file is put in
its place and an end is written down there or not at all. Read next: `lease_routes`, and `weft.engine.leased`, the
other side.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from weft.engine.artifact import name_fault
from weft.engine.client.received import EVENTS
from weft.engine.client.sent_graph import FilesSent
from weft.engine.errors import WeftError
from weft.engine.graph.document import write
from weft.engine.graph.graph import Graph
from weft.engine.keys import digest_file
from weft.engine.latest_entries import LatestEntries
from weft.engine.process_end import start_thread
from weft.engine.serve.admission import Admission
from weft.engine.serve.bell import Bell
from weft.engine.serve.dispatcher import Dispatcher
from weft.engine.serve.event_log import EventLogs, Numbered, without_preview
from weft.engine.serve.plain_faults import plain_fault
from weft.engine.serve.result_files import FileRecord, described, file_in
from weft.engine.serve.run_attempt import late_error
from weft.engine.serve.run_queue import LeaseLost, RunQueue
from weft.engine.serve.run_recipe import NOTHING, RunRecipe
from weft.engine.serve.seen_workers import SeenWorkers, WorkerRecord, node_types, unfit
from weft.engine.serve.served_run import RunEnd, ServedRun
from weft.engine.serve.worker_reports import MalformedReport

LOGGER = logging.getLogger("weft.serve")

MOST_EVENT_BYTES = 32 * 2**20
"""Of what one lease may send as events, without previews."""

MOST_PREVIEW = 4 * 2**20
"""Characters of a preview; larger ones are left out."""

MOST_PREVIEWED = 64
"""Of how many nodes of a lease previews are kept."""

MOST_FILES = 10_000
"""Of how many files a run may have from a worker."""

_EVENTS = frozenset({*EVENTS, "plan"})
"""What a worker may say that happened."""


@dataclass(eq=False)
class HeldRun:
    """A run under a lease.

    Args:
        until: when the lease ends, in seconds of the monotonic clock.
        begun: when the lease began by that clock, or when this server began to know it.
        stop: whether the run is to be cancelled.
        goes_on: whether the lease has not ended.
        known: whether its worker only looks whether an earlier run has the result.
        have: the number of the last event that came.
        event_bytes: of its events so far.
        files: what was sent of its files, by name.
        inputs: the files that its graph names, by the names that the worker has for them; None until they were asked
            for, of a lease from an earlier server.
    """

    run: ServedRun
    until: float
    stop: bool = False
    goes_on: bool = True
    known: bool = False
    have: int = 0
    event_bytes: int = 0
    previewed: set[str] = field(default_factory=set)
    files: dict[str, FileRecord] = field(default_factory=dict)
    inputs: Mapping[str, Path] | None = None
    begun: float = field(default_factory=time.monotonic)
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)


@dataclass(frozen=True)
class LeasedWork:
    """What a worker gets to run.

    Args:
        document: the graph; files that it names have the names of `inputs`.
        inputs: name, bytes and digest of each file that it names.
        seconds: for which the lease lasts from each request on.
        left: seconds that the run may take.
        checked: whether all of it was checked here; else models are the workers' alone.
        earlier: whether an earlier run may have its result, which the plan of the worker says.
    """

    run: ServedRun
    document: bytes
    inputs: Sequence[Mapping[str, Any]]
    seconds: float
    left: float
    checked: bool
    earlier: bool

    def plain(self) -> dict[str, Any]:
        """The lease as one JSON object."""
        return {
            "lease": self.run.lease,
            "run": self.run.id,
            "title": self.run.title or self.run.graph,
            "only": list(self.run.only),
            "graph": self.document.decode(),
            "inputs": list(self.inputs),
            "seconds": self.seconds,
            "left": self.left,
            "checked": self.checked,
            "earlier": self.earlier,
        }


@dataclass(eq=False)
class Leases:
    """Gives runs to workers, and takes what they give back.

    Args:
        folder: each run has its files in a folder of its id in there.
        parts: a folder for files as they come.
        seconds: for which a lease lasts from each request on.
        time_limit: seconds that a run may take.
        most_bytes: of all files of one run.
        counted: hears how each lease ended.
    """

    queue: RunQueue
    admission: Admission
    dispatcher: Dispatcher
    logs: EventLogs
    folder: Path
    parts: Path
    seconds: float = 15.0
    time_limit: float = 3600.0
    most_bytes: int = 2 * 2**30
    counted: Callable[[str], None] = lambda how: None
    stopped: Bell = field(default_factory=Bell)
    """Rings where a run under a lease is to be cancelled, where a lease has ended, and where the server stops."""
    _held: dict[str, HeldRun] = field(default_factory=dict, repr=False)
    _seen: SeenWorkers = field(default_factory=SeenWorkers, repr=False)
    _types: LatestEntries[str, frozenset[str]] = field(default_factory=lambda: LatestEntries(KEPT_TYPES), repr=False)
    _over: threading.Event = field(default_factory=threading.Event, repr=False)

    def start(self) -> None:
        """Know the leases of an earlier server: they last from now on, as their workers went on without one."""
        self.parts.mkdir(parents=True, exist_ok=True)
        for rest in self.parts.iterdir():  # of a server that ended while they came
            rest.unlink(missing_ok=True)
        until = time.monotonic() + self.seconds
        for run in self.queue.leased():
            self._held[run.lease] = HeldRun(run, until, self.queue.stop_asked(run.lease))
        start_thread(self._watch, "weft serve leases", self.stop)

    def stop(self) -> None:
        """End no lease any more: the next server does where it hears nothing of them."""
        self._over.set()
        self.stopped.ring()

    # what waits

    def take(self, worker: WorkerRecord) -> LeasedWork | None:
        """Begin the run that is next of those that a worker can run; None where none waits."""
        self._seen.asks(worker)
        while taken := self.queue.take(
            worker.holder,
            lambda id: self._unfit(id, worker),
            offered=partial(self.dispatcher.offers, known=worker.known),
            known=worker.known,
        ):
            run, content = taken
            held = self._held[run.lease] = HeldRun(run, time.monotonic() + self.seconds, known=worker.known)
            held.stop = self.queue.stop_asked(run.lease)  # since it was taken from the queue
            try:
                return self._work(held, content)
            except WeftError as fault:  # as where a file that it names is not here any more
                self._end(held, RunEnd("failed", error=plain_fault(fault)))
        return None

    def _unfit(self, id: str, worker: WorkerRecord) -> str:
        """Why a worker cannot run what waits; empty where it can."""
        types = self._types.get(id)
        if types is None:
            types = node_types(self.queue.document(id))
            self._types.put(id, types)
        return unfit(types, self.admission.workspace.catalog, worker)

    def _work(self, held: HeldRun, content: bytes) -> LeasedWork:
        run, graph, files = held.run, *self._named(held.run, content)
        checked = self.admission.recheck(graph, run.only)
        document = write(files(graph), None)
        held.inputs = {name: path for path, name in files.names.items()}
        inputs = [
            {"name": name, "bytes": path.stat().st_size, "digest": name.partition(".")[0]}
            for name, path in held.inputs.items()
        ]
        earlier = self.dispatcher.earlier.may_equal(run)
        return LeasedWork(run, document, inputs, self.seconds, self.time_limit, checked, earlier)

    def _named(self, run: ServedRun, content: bytes) -> tuple[Graph, FilesSent]:
        return self.admission.read(run.graph, content), FilesSent(self.admission.workspace, input_name)

    def input(self, held: HeldRun, name: str) -> Path | None:
        """A file that the graph of a lease names, by its name there; None where it names none of that name."""
        if held.inputs is None:
            graph, files = self._named(held.run, self.queue.document(held.run.id))
            files(graph)
            held.inputs = {other: path for path, other in files.names.items()}
        return held.inputs.get(name)

    # what runs

    def of(self, lease: str, caller: str) -> HeldRun:
        """The run of a lease, which lasts on from now.

        Raises:
            LeaseLost: where it has ended, or is that of another caller.
        """
        held = self._held.get(lease)
        if held is None or not held.run.worker.startswith(f"{caller}/"):
            raise LeaseLost
        held.until = time.monotonic() + self.seconds
        self._seen.works(held.run.worker)
        return held

    def cancel(self, run: ServedRun) -> None:
        """Tell the worker of a run to stop it."""
        if held := self._held.get(run.lease):
            held.stop = True
            self.stopped.ring()

    def watched(self, held: HeldRun) -> bool:
        """Whether somebody wants to see previews of a run."""
        return self.logs.of(held.run.id).watched > 0

    def hear(self, held: HeldRun, after: int, given: Iterable[object]) -> None:
        """Add events to a run's, each once: a worker sends again what it does not know to have come.

        Args:
            after: the number of the event before them; where it has not come, as to an earlier server, nothing is
                taken, and the worker begins again.
            given: pairs of a number and an event.

        Raises:
            MalformedReport: where they are none, or too many.
        """
        log = self.logs.of(held.run.id)
        with held.lock:
            for one in given if after <= held.have else ():
                number, event = _numbered(one)
                if number > held.have:
                    log.add(self._heard(held, event))
                    held.have = number

    def _heard(self, held: HeldRun, event: Mapping[str, Any]) -> Mapping[str, Any]:
        if event.get("event") not in _EVENTS:
            raise MalformedReport(f"a worker gives no event `{str(event.get('event'))[:40]}`")
        plain = without_preview(event)
        held.event_bytes += len(orjson.dumps(plain))
        if held.event_bytes > MOST_EVENT_BYTES:
            raise MalformedReport(f"events of a run have at most {MOST_EVENT_BYTES:,} bytes", "too-large")
        if event["event"] == "artifact":
            name = str(event.get("path"))
            if file_in(self.folder / held.run.id, name) is None:
                raise MalformedReport("an event names a file that was not sent")
            return {**plain, "url": f"/api/runs/{held.run.id}/files/{name}"}
        preview, node = event.get("preview"), str(event.get("node"))
        if isinstance(preview, str) and len(preview) <= MOST_PREVIEW:
            held.previewed.add(node)
            if len(held.previewed) <= MOST_PREVIEWED:
                return event
        return plain

    def room(self, held: HeldRun, name: str) -> int:
        """How many bytes a file of a run may have.

        Raises:
            MalformedReport: where it may not have that name, or there are too many.
        """
        if fault := name_fault(name):
            raise MalformedReport(f"the name cannot be used: {fault}", "malformed-path")
        others = [one["bytes"] for other, one in held.files.items() if other != name]
        if len(others) >= MOST_FILES:
            raise MalformedReport(f"a run has at most {MOST_FILES:,} files", "too-large")
        return max(0, self.most_bytes - sum(others))

    def keep(self, held: HeldRun, name: str, part: Path, size: int, digest: str) -> None:
        """Put a file that has come in its place.

        Raises:
            LeaseLost: where the lease has ended meanwhile.
            MalformedReport: where it cannot lie there.
        """
        target = self.folder / held.run.id / name
        with held.lock:
            if size > self.room(held, name):
                raise MalformedReport(f"the files of a run may have {self.most_bytes:,} bytes", "too-large")
            with self.queue.holding(held.run):
                try:
                    target.parent.mkdir(parents=True, exist_ok=True)
                    part.replace(target)
                except OSError as fault:
                    raise MalformedReport(f"the file cannot lie there: {fault.strerror}", "malformed-path") from None
            held.files[name] = described(target, self.folder / held.run.id, digest)

    # how it ends

    def planned(self, held: HeldRun, recipe: str) -> bool:
        """End a run with the result of an earlier one, where the plan of its worker says that they are equal; whether
        it was so.

        Args:
            recipe: the key of its recipe.

        Raises:
            LeaseLost: where the lease has ended meanwhile.
        """
        with held.lock:
            outcome = self.dispatcher.earlier.answer(held.run, recipe, self.queue.holding(held.run))
        if outcome is None:
            return False
        if self._end(held, outcome) is None:
            raise LeaseLost
        return True

    def end(self, held: HeldRun, outcome: RunEnd, recipe: RunRecipe = NOTHING) -> ServedRun:
        """Write down how a run ended.

        Args:
            outcome: its files have only names and digests.
            recipe: what decides its result, by the plan of its worker.

        Raises:
            LeaseLost: where the lease has ended meanwhile.
            MalformedReport: where a file is not what was sent.
        """
        files = [self._sent(held, one) for one in outcome.files]
        result = None if outcome.result is None else {**outcome.result, "files": files}
        whole = self.dispatcher.earlier.remembered(held.run, RunEnd(outcome.state, result, outcome.error), recipe)
        ended = self._end(held, whole)
        if ended is None:
            raise LeaseLost
        return ended

    def _sent(self, held: HeldRun, one: Mapping[str, Any]) -> FileRecord:
        name = one["name"]
        folder = self.folder / held.run.id
        if name not in held.files and (path := file_in(folder, name)):  # an earlier server has taken it
            held.files[name] = described(path, folder)
        if name not in held.files or held.files[name]["digest"] != one["digest"]:
            raise MalformedReport(f"the file `{name[:80]}` is not what was sent", "wrong-digest")
        return held.files[name]

    def _end(self, held: HeldRun, outcome: RunEnd) -> ServedRun | None:
        ended = self.queue.end(held.run, outcome, lambda: self._tidy(held, outcome))
        self._forget(held, outcome.state if ended else "lost")
        if ended:
            self.dispatcher.has_ended(ended)
        return ended

    def _tidy(self, held: HeldRun, outcome: RunEnd) -> None:
        """Remove what an earlier attempt has left of files that this one does not have."""
        folder, names = self.folder / held.run.id, {one["name"] for one in outcome.files}
        for path in folder.rglob("*"):
            if path.is_file() and path.relative_to(folder).as_posix() not in names:
                path.unlink(missing_ok=True)

    def give_back(self, held: HeldRun, reason: str = "") -> ServedRun:
        """Let a run wait again; this attempt does not count.

        Args:
            reason: why the worker cannot run it, so that it is not offered this run again; empty where it can.

        Raises:
            LeaseLost: where the lease has ended meanwhile.
        """
        if held.known:
            self.dispatcher.earlier.is_none(held.run)
        found = self.queue.give_back(held.run, reason)
        self._forget(held, "lost" if found is None else "declined" if reason else "returned")
        if found is None:
            raise LeaseLost
        self._again(found)
        return found

    def ended_before(self, lease: str, caller: str) -> ServedRun | None:
        """The run that a lease has ended: the answer may not have reached its worker."""
        run = self.queue.of_lease(lease)
        return run if run and run.over and run.worker.startswith(f"{caller}/") else None

    def _forget(self, held: HeldRun, how: str) -> None:
        self._held.pop(held.run.lease, None)
        held.goes_on = False
        self.stopped.ring()  # its worker asks for the next run once nothing waits for an answer about this one
        self.counted(how)
        self._seen.ends(held.run.worker, how)

    def _again(self, run: ServedRun) -> None:
        """A run is not under a lease any more: it waits, or has ended by that."""
        if run.over:
            self.dispatcher.has_ended(run)
        else:
            self.dispatcher.begin_log(run)
            self.dispatcher.submitted(run)

    def _watch(self) -> None:
        pause = min(1.0, self.seconds / 4)
        looked = time.monotonic()
        while not self._over.wait(pause):
            looked, before = time.monotonic(), looked
            try:
                self._check(looked - before - pause)
            except Exception:  # as on a full disk: it is tried again
                LOGGER.exception("the queue cannot be used")

    def _check(self, late: float = 0.0) -> None:
        """Give back what workers are silent about, and end what takes too long.

        Args:
            late: seconds by which this is too late: the process stood still, and heard nobody meanwhile.
        """
        now = time.monotonic()
        for held in list(self._held.values()) if late > LATE else ():
            held.until, held.begun = held.until + late, held.begun + late
        for held in list(self._held.values()):
            if held.until < now:
                self._held.pop(held.run.lease, None)
                if found := self.queue.give_up(held.run):
                    LOGGER.warning("a worker is silent", extra={"run": held.run.id})
                    self._forget(held, "expired")
                    self._again(found)
            elif now > held.begun + self.time_limit + 2 * self.seconds:  # its worker should have ended it
                self._end(held, RunEnd("failed", error=late_error(self.time_limit)))

    # who works

    def workers(self) -> list[dict[str, Any]]:
        """Who works on what: those who asked for runs in the last minute, or have one."""
        return self._seen.listed((held.run.worker, held.run.id) for held in list(self._held.values()))


def input_name(path: Path) -> str:
    """What a worker calls a file: its digest, with the ending that says what it is."""
    ending = path.suffix.lower()
    return digest_file(path) + (ending if _ENDING.match(ending) else "")


def _numbered(one: object) -> Numbered:
    if isinstance(one, list) and len(one) == 2 and isinstance(one[0], int) and isinstance(one[1], dict):
        return one[0], one[1]
    raise MalformedReport("an event is no pair of a number and an object")


LATE = 0.5
"""Seconds by which a look at leases may be late, as on a busy machine."""

_ENDING = re.compile(r"\.[a-z0-9]{1,12}\Z")

KEPT_TYPES = 2000
"""Of how many runs that wait the node types are remembered."""
