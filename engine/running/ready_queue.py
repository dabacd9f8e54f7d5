"""The order of a run's steps, and the threads in which files are read and written.

Steps whose inputs are there form a stack: the consumers of the step that just ran go on top, so a branch ends before
the next one begins and intermediate values are freed early. With a budget for weights, a step whose weights are
resident goes before one for which others would have to be evicted.

Steps that read files for others (lane `io`) are no part of the stack. One is read ahead in a thread while a branch
runs, two while nothing else is to do, and what was read is handed on once the stack is empty. So a thousand pictures
of a folder, each with a branch of its own, take the memory of a few. Steps of this lane that write files (sinks) are
packed in threads, while a device computes the next branch; nothing more is read ahead meanwhile, so that the first
picture of a folder is on disk before the third one is read.
"""

from __future__ import annotations

import heapq
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextvars import copy_context
from functools import partial
from types import TracebackType

from weft.engine.planning.planner import Step
from weft.engine.running.file_threads import FileThreads
from weft.engine.store import Record

THREADS = min(4, os.cpu_count() or 1)
"""How many files are read and written at once."""

LOOK_AHEAD = 100
"""How many ready steps are searched for one whose weights are resident."""

READ_AHEAD = 1
"""How many files are read in advance while a branch runs; one more while nothing else is to do."""

WORTH_A_THREAD = 0.002
"""Expected seconds from which on a node of the `io` lane runs in a thread."""

PAUSE = 0.02
"""Seconds between two looks at steps that other processes compute."""


def _sleep() -> None:
    time.sleep(PAUSE)


class ReadyQueue:
    """The steps of one run, in the order in which they can run. Used by one thread.

    Args:
        steps: in topological order.
        swaps: whether a step needs weights that are not resident; None where weights have no budget.
        pause: waits for a while, where every ready step is computed by somebody else.
    """

    def __init__(
        self, steps: Sequence[Step], swaps: Callable[[Step], bool] | None = None, pause: Callable[[], None] = _sleep
    ) -> None:
        self._swaps = swaps
        self._pause = pause
        self._ready: deque[Step] = deque()
        self._missing: dict[str, int] = {}
        self._consumers: dict[str, list[Step]] = {step.call.id: [] for step in steps}
        self._files: list[tuple[int, int, Step]] = []
        self._in_threads: dict[Future[Record | None], Step] = {}
        self._threads: FileThreads[Record | None] | None = None
        self._device_threads: FileThreads[Record | None] | None = None
        self._deferred = 0
        self._added = 0
        for step in steps:
            above = {id for id in (*(link.node for _, link in step.call.links), *step.after) if id in self._consumers}
            self._missing[step.call.id] = len(above)
            for id in above:
                self._consumers[id].append(step)
        for step in reversed(steps):
            if not self._missing[step.call.id] and not self._reads(step):
                self._ready.append(step)
        for step in steps:
            if not self._missing[step.call.id] and self._reads(step):
                self._add_file(step)

    def __enter__(self) -> ReadyQueue:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        for threads in (self._threads, self._device_threads):
            if threads is not None:
                # A second Ctrl-C (KeyboardInterrupt) ends at once; after anything else no thread outlives the run.
                threads.close(wait=kind is None or issubclass(kind, Exception))

    @property
    def busy(self) -> bool:
        """Whether other steps are ready or run in threads."""
        return bool(self._ready or self._in_threads or self._files)

    @property
    def _idle(self) -> bool:
        """Whether nothing is ready but what somebody else computes."""
        return self._deferred >= len(self._ready)

    def _reads(self, step: Step) -> bool:
        """Whether a step reads a file for others, long enough for a thread."""
        kind = step.call.type
        return kind.lane == "io" and not kind.sink and worth_a_thread(step) and bool(self._consumers[step.call.id])

    def runs_in_thread(self, step: Step) -> bool:
        """Whether a step is to run in a thread: it reads or writes a file, and others can run meanwhile.

        Where files are written slower than others give them, some are written by the run itself, so that what they hold
        does not pile up.
        """
        if step.call.type.lane != "io" or not self.busy or not worth_a_thread(step):
            return False
        return not step.call.type.sink or len(self._in_threads) < THREADS

    def _add_file(self, step: Step) -> None:
        """Have a file read in its turn: those that most steps need first, then in the order in which they came."""
        self._added += 1
        heapq.heappush(self._files, (-len(self._consumers[step.call.id]), self._added, step))

    def next_file(self) -> Step | None:
        """A step that may read its file now, in advance of the others; None where enough of them do."""
        if not self._files or any(step.call.type.sink for step in self._in_threads.values()):
            return None
        reading = sum(self._reads(step) for step in self._in_threads.values())
        if reading >= READ_AHEAD + self._idle:
            return None
        return heapq.heappop(self._files)[2]

    def next(self) -> Step | None:
        """The step to run now; None where nothing is left but steps that run in threads, or nothing at all."""
        if self._deferred and self._deferred >= len(self._ready):
            self._pause()
            self._deferred = 0
        if not self._ready:
            return None
        step = self._ready.pop()
        if self._swaps and self._ready and step.call.type.lane == "gpu" and self._swaps(step):
            return self._instead_of(step)
        return step

    def next_without_device(self) -> Step | None:
        """The next step that uses no device; None where there is none near, after a pause at most."""
        for index in range(len(self._ready) - 1, max(-1, len(self._ready) - 1 - LOOK_AHEAD), -1):
            step = self._ready[index]
            if step.call.type.lane != "gpu":
                del self._ready[index]
                return step
        wait(self._in_threads, PAUSE, FIRST_COMPLETED)
        return None

    def _instead_of(self, step: Step) -> Step:
        """A ready step whose weights are resident, with `step` in its place; `step` itself where there is none."""
        assert self._swaps is not None
        for index in range(len(self._ready) - 1, max(-1, len(self._ready) - 1 - LOOK_AHEAD), -1):
            other = self._ready[index]
            if other.call.type.lane == "gpu" and not self._swaps(other):
                self._ready[index] = step
                return other
        return step

    def defer(self, step: Step) -> None:
        """Come back to a step, which somebody else computes, after the other ready steps."""
        self._deferred += 1
        self._ready.appendleft(step)

    def settle(self, step: Step) -> None:
        """Make the consumers of a step ready that waited for nothing else."""
        self._deferred = 0
        for consumer in reversed(self._consumers.pop(step.call.id)):
            self._missing[consumer.call.id] -= 1
            if not self._missing[consumer.call.id]:
                self._add_file(consumer) if self._reads(consumer) else self._ready.append(consumer)

    def start(self, step: Step, work: Callable[[], Record | None]) -> None:
        """Run a step in a thread, in a copy of the present `contextvars` context."""
        if self._threads is None:
            self._threads = FileThreads(THREADS)
        self._in_threads[self._threads.start(partial(copy_context().run, work))] = step

    def start_on_device(
        self, step: Step, work: Callable[[], Record | None], devices: int, dropped: Callable[[], None]
    ) -> None:
        """Run a step that has a device to itself in a thread, of which there are as many as devices.

        Args:
            dropped: called where the run ends before it began.
        """
        if self._device_threads is None:
            self._device_threads = FileThreads(devices)
        future = self._device_threads.start(partial(copy_context().run, work))
        future.add_done_callback(lambda done: dropped() if done.cancelled() else None)
        self._in_threads[future] = step

    def finished(self) -> Iterator[tuple[Step, Record | None]]:
        """The steps that ended in threads, with their results; waits for one where no step is ready.

        Those that read files for others are given in the order in which they were started, one at a time, and only
        where no other step is ready.

        Raises:
            Exception: what a step raised.
        """
        return self._finished() if self._in_threads else iter(())

    def _finished(self) -> Iterator[tuple[Step, Record | None]]:
        files = [future for future, step in self._in_threads.items() if self._reads(step)]
        looked = [future for future in self._in_threads if future not in files[1:]]
        done, _ = wait(looked, None if not self._ready else 0, FIRST_COMPLETED)
        for future in done if self._idle else done.difference(files):
            yield self._in_threads.pop(future), future.result()


def worth_a_thread(step: Step) -> bool:
    """Whether a step takes long enough, as far as is known, to run in a thread."""
    return (step.expected or 1.0) >= WORTH_A_THREAD
