"""A memory of what came last: as many entries as it may have, for any number of threads."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class LatestEntries(Generic[K, V]):
    """Values by key; beyond so many the one that was put in first goes.

    A plain dictionary raises where one thread looks for its first key while another one changes it.

    Args:
        most: entries to keep.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._entries: dict[K, V] = {}
        self._lock = threading.Lock()

    def get(self, key: K) -> V | None:
        """The value of a key; None where it is not kept."""
        return self._entries.get(key)

    def put(self, key: K, value: V) -> None:
        """Keep a value as the latest."""
        with self._lock:
            self._entries.pop(key, None)
            self._entries[key] = value
            while len(self._entries) > self.most:
                del self._entries[next(iter(self._entries))]

    def take(self, key: K) -> V | None:
        """The value of a key, which is not kept any more; None where there is none."""
        with self._lock:
            return self._entries.pop(key, None)

    def __len__(self) -> int:
        return len(self._entries)
