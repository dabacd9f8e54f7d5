"""What happens in the runs of a server, for any number of listeners each: from the first event on, or from a later one.

An event is a JSON object with a number. Only the latest preview of each node is kept, so a log is small; the logs of
the runs that ended last are kept for those who come late, and of older runs the queue says how they ended.
"""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from weft.engine.serve.bell import Bell

Numbered = tuple[int, Mapping[str, Any]]
"""An event with its number in its run, from 1 on."""

MOST_EVENTS = 5000
"""Of a run with more events, the oldest reports of progress are dropped."""

KEPT_LOGS = 200
"""Of how many runs that have ended the events are kept."""


@dataclass(eq=False)
class EventLog:
    """The events of one run; any thread adds to it, and tasks of any event loop follow it."""

    _events: list[Numbered] = field(default_factory=list, repr=False)
    _latest: dict[str, int] = field(default_factory=dict, repr=False)
    """The number of the event with the latest preview, by node."""
    _count: int = 0
    _over: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    changed: Bell = field(default_factory=Bell, repr=False)
    """Rings for each event, and at the end."""
    closed: Bell = field(default_factory=Bell, repr=False)
    """Rings at the end."""
    watched: int = 0
    """How many followers want previews."""

    def add(self, event: Mapping[str, Any]) -> None:
        """Add an event; none after the end."""
        with self._lock:
            if self._over:
                return
            self._count += 1
            self._events.append((self._count, event))
            if "preview" in event:
                self._drop_preview(str(event["node"]))
            if len(self._events) > MOST_EVENTS:
                self._shorten()
        self.changed.ring()

    def _drop_preview(self, node: str) -> None:
        """Forget the preview before the latest one of a node."""
        before = self._latest.get(node)
        self._latest[node] = self._count
        if before is not None and (place := self._place(before)) < len(self._events):
            number, event = self._events[place]
            if number == before:
                self._events[place] = number, without_preview(event)

    def _shorten(self) -> None:
        half = len(self._events) // 2
        self._events[:half] = [one for one in self._events[:half] if one[1].get("event") != "node_progress"]

    def _place(self, number: int) -> int:
        """Where the first event lies that has this number or a greater one."""
        low, high = 0, len(self._events)
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if self._events[middle][0] < number else (low, middle)
        return low

    def close(self, last: Mapping[str, Any] | None = None) -> None:
        """End the log, with a last event where one is given."""
        if last is not None:
            self.add(last)
        with self._lock:
            self._over = True
        self.changed.ring()
        self.closed.ring()

    @property
    def over(self) -> bool:
        """Whether nothing is added any more."""
        return self._over

    def after(self, number: int) -> list[Numbered]:
        """The events after the one with a number."""
        with self._lock:
            return self._events[self._place(number + 1) :]

    async def follow(
        self, after: int = 0, *, previews: bool = False, pause: float = 15.0, pace: Callable[[], float] = lambda: 0.0
    ) -> AsyncIterator[list[Numbered]]:
        """The events after a number as they come, to the last one, those together that are there; none where nothing
        came for a while.

        Args:
            previews: whether reports of progress have their pictures.
            pause: seconds after which none are given.
            pace: how many seconds lie between two times at least.
        """
        self.watched += previews
        try:
            with self.changed.heard() as arrived:
                while True:
                    over = self._over  # looked at first: what comes in between is given before the end
                    if events := self.after(after):
                        after = events[-1][0]
                        yield events if previews else [(number, without_preview(event)) for number, event in events]
                    if over:
                        return
                    if events and (seconds := pace()):
                        await asyncio.sleep(seconds)
                    try:
                        await asyncio.wait_for(arrived.wait(), pause)
                    except TimeoutError:
                        yield []
                    arrived.clear()
        finally:
            self.watched -= previews

    async def ended(self, seconds: float) -> bool:
        """Wait for the end of the log for so long; whether it has ended."""
        with self.closed.heard() as arrived:
            try:
                async with asyncio.timeout(seconds):
                    while not self._over:
                        await arrived.wait()
                        arrived.clear()
            except TimeoutError:
                return self._over
        return True


def without_preview(event: Mapping[str, Any]) -> Mapping[str, Any]:
    """An event without its picture."""
    return {name: one for name, one in event.items() if name != "preview"}


class EventLogs:
    """The logs of the runs that wait, that run, and of those that ended last."""

    def __init__(self) -> None:
        self._logs: OrderedDict[str, EventLog] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, id: str) -> EventLog:
        """The log of a run, which begins where there is none."""
        with self._lock:
            if id not in self._logs:
                self._logs[id] = EventLog()
            return self._logs[id]

    def find(self, id: str) -> EventLog | None:
        """The log of a run; None where it is not kept."""
        with self._lock:
            return self._logs.get(id)

    def close(self, id: str, last: Mapping[str, Any]) -> None:
        """End the log of a run, and drop those that ended longest ago."""
        self.of(id).close(last)
        with self._lock:
            self._logs.move_to_end(id)
            ended = [one for one, log in self._logs.items() if log.over]
            for one in ended[: max(0, len(ended) - KEPT_LOGS)]:
                del self._logs[one]

    def close_all(self, last: Mapping[str, Any]) -> None:
        """End every log, as where the server stops: whoever follows comes back to the next server."""
        with self._lock:
            logs = list(self._logs.values())
        for log in logs:
            if not log.over:
                log.close(last)
