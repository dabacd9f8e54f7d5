"""What was read of files, kept in this process by their stamps, so that a file is read again only where it was written.

Used for what is asked for often and costs much to read: headers of weights for each check of a graph, the sidecars of
a job for each look at it. Nothing is kept of a file whose next write might leave the same stamp (see
`weft.engine.file_stamp`).
"""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

from weft.engine.file_stamp import FileStamp, settled

Value = TypeVar("Value")

Place = tuple[int, FileStamp]
"""A state of a file: its file system, and its stamp there."""


class _Seen(NamedTuple, Generic[Value]):
    """When a state of a file was first seen, in nanoseconds since 1970, and what was read, where that is certain."""

    at: int
    value: Value | None
    size: int


class FileMemory(Generic[Value]):
    """Values by states of files; what was asked for longest ago goes first. May be used by several threads.

    Values are shared: whoever gets one leaves it as it is.

    Args:
        most: how large all values are together.
        size: how large a value is, in the same unit; each counts 1 otherwise.
        now: the clock of this machine, in nanoseconds since 1970.
    """

    def __init__(
        self, most: int, size: Callable[[Value], int] = lambda value: 1, now: Callable[[], int] = time.time_ns
    ) -> None:
        self._most = most
        self._size = size
        self._now = now
        self._held = 0
        self._seen: OrderedDict[Place, _Seen[Value]] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, status: os.stat_result, read: Callable[[], Value]) -> Value:
        """What `read` gives of a file, called where the file was written since.

        Args:
            status: of the file, looked at before it is read; of an open file best.
        """
        stamp, now = FileStamp.of(status), self._now()
        place = status.st_dev, stamp
        with self._lock:
            known = self._seen.get(place)
            if known is not None and known.value is not None:
                self._seen.move_to_end(place)
                return known.value
        value, at = read(), known.at if known is not None and known.at <= now else now
        self._keep(
            place, _Seen(at, value, self._size(value)) if settled(stamp, place[0], now, at) else _Seen(at, None, 1)
        )
        return value

    def _keep(self, place: Place, seen: _Seen[Value]) -> None:
        with self._lock:
            before = self._seen.pop(place, None)
            self._held += seen.size - (before.size if before else 0)
            self._seen[place] = seen
            while self._held > self._most and len(self._seen) > 1:
                _, gone = self._seen.popitem(last=False)
                self._held -= gone.size
