"""Which step of a run is next, and what runs beside it.

Steps that wait for nothing are taken from a stack: what ran last puts on top what it was for, so values are used up
soon after they are made. Where weights do not all stay on the device, a step whose weights are there goes before one
for which others would have to make room. Reading and writing files has threads of its own.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from types import TracebackType

from weft.engine.planning.planner import Step
from weft.engine.store import Record

THREADS = min(4, os.cpu_count() or 1)
"""How many files are read and written at once."""

LOOK_AHEAD = 100
"""How many waiting steps are asked whether their weights are at hand."""

PAUSE = 0.02
"""Seconds between two looks at what other processes compute."""


class Lanes:
    """The steps of one run, in the order in which they can be run.

    Args:
        steps: in topological order.
        swaps: whether a step needs weights that are not at hand; None where all of them stay.
    """

    def __init__(self, steps: Sequence[Step], swaps: Callable[[Step], bool] | None) -> None:
        self._swaps = swaps
        self._ready: deque[Step] = deque()
        self._missing: dict[str, int] = {}
        self._takers: dict[str, list[Step]] = {step.call.id: [] for step in steps}
        self._beside: dict[Future[Record | None], Step] = {}
        self._pool: ThreadPoolExecutor | None = None
        self._put_off = 0
        for step in steps:
            above = {link.node for _, link in step.call.links}.union(step.after) & self._takers.keys()
            self._missing[step.call.id] = len(above)
            for id in above:
                self._takers[id].append(step)
            if not above:
                self._ready.appendleft(step)

    def __enter__(self) -> Lanes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=kind is None or issubclass(kind, Exception), cancel_futures=True)

    @property
    def busy(self) -> bool:
        """Whether there is something else to do."""
        return bool(self._ready or self._beside)

    def next(self) -> Step | None:
        """The step to run now; None where nothing is left but what runs beside, or nothing at all."""
        if self._put_off and self._put_off >= len(self._ready):
            time.sleep(PAUSE)
            self._put_off = 0
        if not self._ready:
            return None
        step = self._ready.pop()
        if self._swaps and self._ready and step.call.type.lane == "gpu" and self._swaps(step):
            return self._instead_of(step)
        return step

    def _instead_of(self, step: Step) -> Step:
        """A step whose weights are at hand, if there is one, and `step` in its place."""
        assert self._swaps is not None
        for index in range(len(self._ready) - 1, max(-1, len(self._ready) - 1 - LOOK_AHEAD), -1):
            other = self._ready[index]
            if other.call.type.lane == "gpu" and not self._swaps(other):
                self._ready[index] = step
                return other
        return step

    def put_off(self, step: Step) -> None:
        """Come back to a step, which another process computes, when the others have run."""
        self._put_off += 1
        self._ready.appendleft(step)

    def settle(self, step: Step) -> None:
        """Let run what waited for a step."""
        self._put_off = 0
        for taker in reversed(self._takers.pop(step.call.id)):
            self._missing[taker.call.id] -= 1
            if not self._missing[taker.call.id]:
                self._ready.append(taker)

    def start(self, step: Step, work: Callable[[], Record | None]) -> None:
        """Run a step beside the others."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(THREADS, "weft files")
        self._beside[self._pool.submit(work)] = step

    def finished(self) -> Iterator[tuple[Step, Record | None]]:
        """The steps that ran beside the others and what they came to; waits for one where nothing else is left.

        Raises:
            Exception: what a step raised.
        """
        if not self._beside:
            return
        done, _ = wait(self._beside, None if not self._ready else 0, FIRST_COMPLETED)
        for future in done:
            yield self._beside.pop(future), future.result()
