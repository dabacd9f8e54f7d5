"""What is done where a device is short of memory, one record each, for whoever wants to say it: a run, as events."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from contextvars import ContextVar
from dataclasses import dataclass

from weft.engine.bound_variable import BoundVariable


@dataclass(frozen=True)
class Relief:
    """One thing that was done.

    Args:
        action: `evicted`: weights left the device. `streamed`: parts of a network are sent to the device as they run.
            `retried`: a node that ran out of memory is called again. `foreseen`: one that would, by calls like it, is
            called so that it needs less.
        what: it was done with: the recipe of the weights; how a node is called.
        freed: bytes that it freed, or kept from the device; 0 where that is not known.
    """

    action: str
    what: str
    freed: int = 0


_LISTENER: ContextVar[Callable[[Relief], None] | None] = ContextVar("who hears of relief", default=None)


def reliefs_to(listener: Callable[[Relief], None]) -> AbstractContextManager[None]:
    """Give what is done while the block runs, in this context, to a listener."""
    return BoundVariable(_LISTENER, listener)


def report_relief(relief: Relief) -> None:
    """Say what was done, where somebody listens."""
    if listener := _LISTENER.get():
        listener(relief)
