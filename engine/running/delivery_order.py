"""Deliveries in the order of the plan, whatever order nodes end in, so that files are numbered alike."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from weft.engine.planning.planner import Step
from weft.engine.store import Record

Delivery = Callable[[Step, Record], None]


class DeliveryOrder:
    """Holds results of sinks back until those of all sinks before them are delivered.

    Args:
        ids: the sinks, in order.
    """

    # It is given what delivers with each call: a run that held it and was held by it would be a cycle, which no
    # collection frees while runs follow one another (`weft.engine.gc`), with all values that the run has.

    def __init__(self, ids: Iterable[str]) -> None:
        self._ids = [*ids][::-1]
        self._results: dict[str, tuple[Step, Record] | None] = {}
        self._lock = threading.Lock()

    def give(self, step: Step, record: Record | None, deliver: Delivery) -> None:
        """Take the result of a sink, None where it failed, and make all deliveries that are next."""
        with self._lock:
            self._results[step.call.id] = (step, record) if record else None
            while self._ids and self._ids[-1] in self._results:
                self._make(self._ids.pop(), deliver)

    def flush(self, deliver: Delivery) -> None:
        """Make those that were held back for sinks that will not run any more."""
        while self._ids:
            self._make(self._ids.pop(), deliver)

    def _make(self, id: str, deliver: Delivery) -> None:
        result = self._results.pop(id, None)
        if result is not None:
            deliver(*result)
