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

LOOK = 0.1
"""Seconds between two looks at whether the run was cancelled meanwhile."""


@dataclass(eq=False)
class LimitedCall(Generic[T]):
    """One call of a node with a time limit.

    Args:
        work: makes the call; it is given this object, calls `begin` when the limit begins to count, and lets the node
            ask `cancelled`.
        limit: seconds; `inf` for none.
        run_cancelled: whether the run was cancelled.
    """

    work: Callable[[LimitedCall[T]], T]
    limit: float
    run_cancelled: Callable[[], bool]
    _began: float | None = None
    _calls: int = 1
    _given_up: bool = False
    _ended: threading.Event = field(default_factory=threading.Event)
    _result: list[T] = field(default_factory=list)
    _fault: BaseException | None = None

    def begin(self, calls: int = 1) -> None:
        """Have the limit count from now on: waits for other runs are over.

        Args:
            calls: that are made at once. There is as much time for each, and those of other runs are made to the end
                where this run is cancelled.
        """
        self._calls, self._began = calls, time.monotonic()

    @property
    def overdue(self) -> bool:
        """Whether the limit is over."""
        return self._began is not None and time.monotonic() - self._began >= self._in_all

    @property
    def _in_all(self) -> float:
        return self.limit * self._calls

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
            Cancelled: where the run was cancelled, and the call goes on for other runs.
            BaseException: what it raised.
        """
        context = copy_context()
        thread = threading.Thread(target=context.run, args=(self._run,), name="weft node", daemon=True)
        thread.start()
        try:
            while not self._ended.wait(self._wait()):
                if self._calls > 1 and self.run_cancelled():
                    raise Cancelled("the run was cancelled")
                if self._began is not None and time.monotonic() - self._began >= self._in_all + self._grace:
                    raise TimeLimitError(self.limit, "the node does not look whether it is to end and still runs")
        except BaseException as fault:  # the limit is over, the user interrupts the wait, or it goes on for others
            if not self._ended.is_set():
                leave_behind(thread)
                if self._calls == 1 or isinstance(fault, TimeLimitError):
                    self._given_up = True
                    give_up_turns(turns_within(context), "a node that did not end in time")
            raise
        if isinstance(self._fault, Cancelled) and self.overdue and not self.run_cancelled():
            raise TimeLimitError(self.limit) from self._fault
        if self._fault is not None:
            raise self._fault
        return self._result.pop()

    def _wait(self) -> float:
        """How long to wait before the next look."""
        if self._began is None:
            return LOOK
        left = self._began + self._in_all + self._grace - time.monotonic()
        return min(LOOK, max(0.0, left))

    @property
    def _grace(self) -> float:
        return min(self._in_all, GRACE)

    def _run(self) -> None:
        try:
            with cancelled_by(self.cancelled):
                self._result.append(self.work(self))
        except BaseException as fault:
            self._fault = fault
        finally:
            self._ended.set()
