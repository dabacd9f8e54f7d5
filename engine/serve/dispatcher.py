"""Runs what waits in the queue: some runs at a time, and at once what is already computed, whoever else waits.

Each run is a plan and an execution of the one engine, with a folder of its own for its files. A run that was begun ends
once: it is written down with its attempt, and what another attempt wrote down by then stays.
"""

from __future__ import annotations

import logging
import math
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from weft.engine.latest_entries import LatestEntries
from weft.engine.planning.planner import Plan
from weft.engine.process_end import start_thread
from weft.engine.serve.admission import Admission
from weft.engine.serve.bell import Bell
from weft.engine.serve.earlier_runs import EarlierRuns
from weft.engine.serve.event_log import EventLogs
from weft.engine.serve.heap import Heap
from weft.engine.serve.run_attempt import RunAttempt, RunStop
from weft.engine.serve.run_queue import RunQueue
from weft.engine.serve.served_run import RUN_ID, RunEnd, ServedRun
from weft.engine.session import Engine

LOGGER = logging.getLogger("weft.serve")

KEPT_PLANS = 100
"""Of how many runs that wait the plans are kept."""

LOOK_SECONDS = 1.0
"""For how long a new run is not offered to workers until it was looked at whether its result is here."""

MOST_UNSEEN = 10_000

HAND_BACK_SECONDS = 10.0
"""What a run has to end in that is to be handed back: a step."""

SWEEP_SECONDS = 30.0
"""How often runs beyond the budget for files are forgotten."""


@dataclass(eq=False)
class Dispatcher:
    """Runs what waits.

    Args:
        folder: each run has its files in a folder of its id in there.
        at_once: how many runs may compute at a time; they take turns on the devices. With 0 workers run all.
        time_limit: seconds that a run may take.
        keep_bytes, keep_runs: beyond these the oldest runs that have ended are forgotten, with their files.
        ended: hears of each run that has ended.
        leased: hears of each run of a worker's that is to be cancelled.
        hidden: JSON values without where things lie on this machine.
        trusted: whether results of a worker are given again, by the name of its caller.
    """

    engine: Engine
    queue: RunQueue
    admission: Admission
    logs: EventLogs
    folder: Path
    at_once: int = 8
    time_limit: float = 3600.0
    keep_bytes: int = 10 * 10**9
    keep_runs: int = 100_000
    ended: Callable[[ServedRun], None] = lambda run: None
    leased: Callable[[ServedRun], None] = lambda run: None
    trusted: Callable[[str], bool] = lambda caller: True
    hidden: Callable[[Any], Any] = lambda plain: plain
    waits: Bell = field(default_factory=Bell, repr=False)
    """Rings where a run waits, and where the server stops."""
    _running: dict[str, RunStop] = field(default_factory=dict, repr=False)
    _new: deque[str] = field(default_factory=deque, repr=False)
    _to_cancel: set[str] = field(default_factory=set, repr=False)
    _plans: LatestEntries[str, Plan] = field(default_factory=lambda: LatestEntries(KEPT_PLANS), repr=False)
    _unseen: LatestEntries[str, float] = field(default_factory=lambda: LatestEntries(MOST_UNSEEN), repr=False)
    """Until when, in seconds of the monotonic clock, runs are not offered to workers."""
    _changed: threading.Condition = field(default_factory=threading.Condition, repr=False)
    _stopping: bool = False
    _until: float = math.inf
    """When what runs is handed back, in seconds of the monotonic clock."""
    _threads: list[threading.Thread] = field(default_factory=list, repr=False)
    _heap: Heap = field(default_factory=Heap, repr=False)

    def __post_init__(self) -> None:
        self.earlier = EarlierRuns(self.queue, self.logs, self.folder, self.trusted, self.engine.safety)

    def start(self) -> None:
        """Begin with what waits, as of an earlier server."""
        for number in range(self.at_once):
            self._threads.append(start_thread(self._compute, f"weft serve {number + 1}", self.ask_to_stop))
        self._threads.append(start_thread(self._answer, "weft serve stored", self.ask_to_stop))
        self._threads.append(start_thread(self._sweep, "weft serve sweep", self.ask_to_stop))

    def begin_log(self, run: ServedRun) -> None:
        """Note that a run waits, its first event, before the queue gives it to anyone."""
        self.logs.of(run.id).add({"event": "queued", "ahead": self.queue.ahead(run)})
        self._unseen.put(run.id, time.monotonic() + LOOK_SECONDS)

    def offers(self, id: str, twin: bool, known: bool = False) -> bool:
        """Whether workers may have a run that waits: not while it may be answered at once, or soon from one that equals
        it and goes on (`twin`).

        Args:
            known: for a worker that only looks whether an earlier run has its result.
        """
        if known and not self.earlier.unknown(id):
            return False
        until = self._unseen.get(id)
        return self._begins(id, twin) and (until is None or time.monotonic() >= until)

    def _begins(self, id: str, twin: bool) -> bool:
        return not twin or self.earlier.may_differ(id)

    def submitted(self, run: ServedRun) -> None:
        """Begin a run that is in the queue where there is room for it."""
        with self._changed:
            self._new.append(run.id)
            self._changed.notify_all()
        self.waits.ring()

    def cancel(self, id: str) -> ServedRun | None:
        """Cancel a run, at once where it waits, else within its present step; the run as it is. None if unknown."""
        run = self.queue.cancel(id)
        if run is None:
            return None
        if run.state == "cancelled":
            self._close(run)
        elif run.lease and not run.over:
            self.leased(run)
        elif run.state == "running":
            self._to_cancel.add(id)
            if stop := self._running.get(id):
                stop.by_caller = True
        return run

    @property
    def running(self) -> int:
        """How many runs are under way."""
        return len(self._running)

    @property
    def stopping(self) -> bool:
        """Whether nothing is begun any more."""
        return self._stopping

    def ask_to_stop(self) -> None:
        """Begin nothing any more, and let what runs wait again once it has stopped."""
        with self._changed:
            self._stopping = True
            for stop in self._running.values():
                stop.by_server = True
            self._changed.notify_all()

    def begin_to_stop(self, grace: float) -> None:
        """Begin nothing any more; what runs has so many seconds to end, from the first call on."""
        with self._changed:
            self._stopping = True
            self._until = min(self._until, time.monotonic() + grace)
            self._changed.notify_all()
        self.waits.ring()

    def hurry(self) -> None:
        """Leave what runs no more seconds, once it is to stop; for signal handlers, which may take no lock."""
        self._until = 0.0

    def stop(self, grace: float) -> None:
        """Begin nothing any more; after so many seconds what still runs is given back to the queue."""
        self.begin_to_stop(grace)
        while self._running and time.monotonic() < self._until:
            time.sleep(0.05)
        self.ask_to_stop()
        for thread in self._threads:
            thread.join(HAND_BACK_SECONDS)

    def _compute(self) -> None:
        while not self._stopping:
            with self._survived():
                if (taken := self.queue.take(offered=self._begins)) is not None:
                    self._run(*taken)
                    continue
            self._wait(1.0)

    @contextmanager
    def _survived(self) -> Iterator[None]:
        """A queue that cannot be written, as on a full disk, ends no thread: it is tried again."""
        try:
            yield
        except Exception:
            LOGGER.exception("the queue cannot be used")
            time.sleep(0.5)

    def _wait(self, seconds: float) -> None:
        """Wait until something has changed, for so long at the most."""
        with self._changed:
            if not self._stopping:
                self._changed.wait(seconds)

    def _answer(self) -> None:
        """Run at once what needs nothing computed."""
        while True:
            with self._changed:
                while not self._new and not self._stopping:
                    self._changed.wait(1.0)
                if self._stopping:
                    return
                id = self._new.popleft()
            with self._survived():
                if run := self._passed_over(id):
                    self._answer_if_stored(run)
            self._unseen.take(id)
            self.waits.ring()

    def _passed_over(self, id: str) -> ServedRun | None:
        """A new run that has to wait for others; None where it was begun."""
        for _ in range(10):
            run = self.queue.get(id)
            if run is None or run.state != "queued" or self._stopping:
                return None
            if self.running >= self.at_once:
                return run
            self._wait(0.005)
        return run

    def _answer_if_stored(self, run: ServedRun) -> None:
        try:
            planned = self._planned(run, self.queue.document(run.id))
        except Exception:  # whatever it is: the run finds and reports it in its turn
            return
        self.earlier.planned(run, planned)
        if not planned.runs:
            if taken := self.queue.begin(run.id):
                self._run(*taken, planned)
        elif self.earlier.equal_to(run) is None or not self._answered_by_earlier(run.id):
            self._plans.put(run.id, planned)  # it may be old by its turn: a run finds what was computed since

    def _answered_by_earlier(self, id: str) -> bool:
        """Give a run the result of an earlier one; whether it waits no more."""
        taken = self.queue.begin(id)
        if taken is None:
            return True
        run, _ = taken
        outcome = self.earlier.answer(run)
        ended = self.queue.end(run, outcome) if outcome else self.queue.give_back(run)
        self.has_ended(ended if ended and ended.over else None)
        return ended is None or ended.over

    def _known(self, run: ServedRun, planned: Plan) -> RunEnd | None:
        """How a run ends whose result an earlier one has; None where it is to run."""
        self.earlier.planned(run, planned)
        return self.earlier.answer(run) if planned.runs else None

    def _planned(self, run: ServedRun, document: bytes) -> Plan:
        return self.engine.plan(self.admission.read(run.graph, document), run.only)

    def _run(self, run: ServedRun, document: bytes, planned: Plan | None = None) -> None:
        stop = RunStop(time.monotonic() + self.time_limit, by_server=self._stopping)
        self._running[run.id] = stop
        stop.by_caller = run.id in self._to_cancel  # since it was taken from the queue
        log, known = self.logs.of(run.id), partial(self._known, run)
        folder, limit = self.folder / run.id, self.time_limit
        if folder.exists():  # a server was killed while it wrote
            shutil.rmtree(folder, ignore_errors=True)
        attempt = RunAttempt(self.engine, run.id, log, stop, folder, limit, known, self.hidden)
        try:
            outcome = attempt(lambda: self._plans.take(run.id) or planned or self._planned(run, document))
            if outcome is None:
                back = self.queue.give_back(run)
                self.has_ended(back if back and back.over else None)  # cancelled at the last moment
            else:
                self.has_ended(self.queue.end(run, self.earlier.remembered(run, outcome)))
        finally:
            self._running.pop(run.id, None)
            self._to_cancel.discard(run.id)
            with self._changed:
                self._changed.notify_all()

    def has_ended(self, run: ServedRun | None) -> None:
        """A run has ended, by whoever ran it; None where it had before."""
        if run is None:
            return
        self._close(run)
        if same := self.queue.waiting_like(run.id):
            for id in same:
                self._unseen.put(id, time.monotonic() + LOOK_SECONDS)
            with self._changed:
                self._new.extend(same)
                self._changed.notify_all()

    def _close(self, run: ServedRun) -> None:
        self.ended(run)
        self.logs.close(run.id, {"event": "ended", "run": run.plain()})

    def _sweep(self) -> None:
        """Forget old runs now and then."""
        while not self._stopping:
            with self._survived():
                self.queue.give_back_all_but(self._running)
                for id in self.queue.forget(self.keep_bytes, self.keep_runs):
                    if RUN_ID.match(id):
                        shutil.rmtree(self.folder / id, ignore_errors=True)
            self._heap.give_back_unused()
            end = time.monotonic() + SWEEP_SECONDS
            with self._changed:
                while not self._stopping and time.monotonic() < end:
                    self._changed.wait(end - time.monotonic())
