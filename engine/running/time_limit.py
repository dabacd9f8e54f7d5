"""A time limit for calls of nodes.

Python cannot stop a thread from outside. So where there is a limit, each call is made in a thread of its own, and the
run waits for it that long. Then

- the call counts as cancelled: a node that looks (`Context.progress`, waits for the device, graphs that it runs) ends;
- a call that has not ended after as much time again, `GRACE` at most, is given up. The node has failed and the run goes
  on without it. Its thread goes on until the node returns, and what it returns is dropped. A device on which it holds a
  turn is lost until then: whoever waits for that device fails.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from weft.engine.errors import Cancelled, TimeLimitError
from weft.engine.process_end import leave_behind
from weft.engine.spec.at_once import cancelled_by
from weft.engine.weights.device_lane import give_up_turns, turns_within

T = TypeVar("T")

GRACE = 5.0
"""Seconds after the limit, at most, in which a call may still end by itself."""

LOOK = 0.5
"""Seconds between two looks at whether the run was cancelled meanwhile."""


@dataclass(eq=False)
class LimitedCall(Generic[T]):
    """One call of a node with a time limit.

    Args:
        work: makes the call; it is given this object, calls `begin` when the limit begins to count, and lets the node
            ask `cancelled`.
        limit: seconds.
        run_cancelled: whether the run was cancelled.
    """

    work: Callable[[LimitedCall[T]], T]
    limit: float
    run_cancelled: Callable[[], bool]
    _began: float | None = None
    _given_up: bool = False
    _ended: threading.Event = field(default_factory=threading.Event)
    _result: list[T] = field(default_factory=list)
    _fault: BaseException | None = None

    def begin(self) -> None:
        """Have the limit count from now on: waits for other runs are over."""
        self._began = time.monotonic()

    @property
    def overdue(self) -> bool:
        """Whether the limit is over."""
        return self._began is not None and time.monotonic() - self._began >= self.limit

    @property
    def given_up(self) -> bool:
        """Whether nobody waits for the call any more."""
        return self._given_up

    def cancelled(self) -> bool:
        """Whether the node is to end."""
        return self._given_up or self.overdue or self.run_cancelled()

    def result(self) -> T:
        """Make the call, and wait for it.

        Raises:
            TimeLimitError: where it did not end in time.
            BaseException: what it raised.
        """
        context = copy_context()
        thread = threading.Thread(target=context.run, args=(self._run,), name="weft node", daemon=True)
        thread.start()
        try:
            while not self._ended.wait(self._wait()):
                if self._began is not None and time.monotonic() - self._began >= self.limit + min(self.limit, GRACE):
                    raise TimeLimitError(self.limit, "the node does not look whether it is to end and still runs")
        finally:
            if not self._ended.is_set():  # the limit is over, or the user interrupts the wait
                self._given_up = True
                leave_behind(thread)
                give_up_turns(turns_within(context), "a node that did not end in time")
        if isinstance(self._fault, Cancelled) and self.overdue and not self.run_cancelled():
            raise TimeLimitError(self.limit) from self._fault
        if self._fault is not None:
            raise self._fault
        return self._result.pop()

    def _wait(self) -> float:
        """How long to wait before the next look."""
        if self._began is None:
            return LOOK
        left = self._began + self.limit + min(self.limit, GRACE) - time.monotonic()
        return min(LOOK, max(0.0, left))

    def _run(self) -> None:
        try:
            with cancelled_by(self.cancelled):
                self._result.append(self.work(self))
        except BaseException as fault:
            self._fault = fault
        finally:
            self._ended.set()
