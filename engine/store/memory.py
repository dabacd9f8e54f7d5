"""Results in memory, under a budget in bytes; what would take longest to compute again, per byte, stays longest."""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from weft.engine.keys import Digest
from weft.engine.store import Computed, Note, Record, Stats, Store
from weft.engine.store.codec import flatten
from weft.engine.store.notes import N

_RECORD_BYTES = 700
_NOTE_BYTES = 300
"""About what a record and a note take by themselves."""


@dataclass(slots=True)
class _Entry:
    record: Record
    size: int
    worth: float = 0.0


@dataclass
class MemoryStore(Store):
    """Values as they are, in this process.

    Eviction is GreedyDual-Size (Cao and Irani 1997): an entry is worth the clock at its last use plus its seconds to
    recompute per byte; the least worthy goes, and the clock rises to its worth.

    Args:
        budget: bytes of values to keep.
    """

    budget: int = 2**30
    _entries: dict[Digest, _Entry] = field(default_factory=dict)
    _notes: dict[Digest, Note] = field(default_factory=dict)
    _used: int = 0
    _clock: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def has(self, key: Digest) -> str | None:
        """`memory`, or None."""
        return "memory" if key in self._entries else None

    def get(self, key: Digest) -> Record | None:
        """The record, which is worth more from now on."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            entry.worth = self._clock + entry.record.seconds / entry.size
            return entry.record

    def put(self, key: Digest, outputs: Mapping[str, Computed], seconds: float, trace: Mapping[str, Any]) -> None:
        """Keep values, unless they alone are larger than the budget."""
        size = _RECORD_BYTES + sum([size_of(made.value) for made in outputs.values()])
        if size > self.budget:
            return
        with self._lock:
            if key in self._entries:
                self._remove(key)
            self._entries[key] = _Entry(Record(outputs, seconds, "memory"), size, self._clock + seconds / size)
            self._used += size
            if self._used > self.budget:
                self._shrink(self.budget * 0.9)

    def drop(self, key: Digest) -> None:
        """Forget a key."""
        with self._lock:
            self._remove(key)

    def recall(self, key: Digest, kind: type[N]) -> N | None:
        """The note of a type under a key, or None."""
        note = self._notes.get(key)
        return note if isinstance(note, kind) else None

    def remember(self, key: Digest, note: Note) -> None:
        """Keep a note; the oldest go where notes take more than a tenth of the budget."""
        with self._lock:
            self._notes.pop(key, None)
            self._notes[key] = note
            while len(self._notes) * 10 * _NOTE_BYTES > self.budget and len(self._notes) > 1:
                del self._notes[next(iter(self._notes))]

    def stats(self) -> Stats:
        """What is in memory; values count as about as many bytes as they take."""
        with self._lock:
            return Stats(len(self._entries), 0, len(self._notes), self._used)

    def prune(self, max_bytes: int | None = None, older_than: float | None = None) -> Stats:
        """Remove the values that are quickest to compute again; `older_than` means nothing here, as no age is kept."""
        before = self.stats()
        with self._lock:
            self._shrink(self.budget if max_bytes is None else max_bytes)
        return before - self.stats()

    def _remove(self, key: Digest) -> None:
        entry = self._entries.pop(key, None)
        self._used -= entry.size if entry else 0

    def _shrink(self, size: float) -> None:
        for key in sorted(self._entries, key=lambda key: self._entries[key].worth):
            if self._used <= size:
                break
            self._clock = max(self._clock, self._entries[key].worth)
            self._remove(key)


def size_of(item: object) -> int:
    """About how many bytes a value takes."""
    if isinstance(item, (bool, int, float, str, bytes)) or item is None:
        return sys.getsizeof(item)
    parts = flatten(item)
    tensors = sum(tensor.numel() * tensor.element_size() for tensor in parts.tensors)
    return 500 + int(tensors) + sum(map(len, parts.blobs))
