"""The store of one run: where it cannot be written, as on a full disk, the run goes on without, and reports that once.

What was computed is worth more than that it is kept. What others read of the store stays as it is.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from weft.engine.errors import CorruptRecord, StoreError
from weft.engine.keys import Digest
from weft.engine.store import Claim, Claimant, Computed, Note, Record, Store
from weft.engine.store.notes import N

AGAIN_SECONDS = 10.0
"""After which it is tried again whether something can be kept: a full disk takes long to refuse what is large."""


@dataclass(eq=False)
class RunStore(Store):
    """A store that raises no `StoreError` where something cannot be written.

    Args:
        store: of the engine.
        report: hears of the first fault by which something that was computed is not kept; where all was cached, a store
            that can only be read serves as any other.
        instead: keeps what the store does not, where parts of the run must find what others gave.
    """

    store: Store
    report: Callable[[StoreError], None]
    instead: Store | None = None
    _dropped: set[Digest] = field(default_factory=set, repr=False)
    """What is damaged and could not be removed."""
    _again: float = 0.0
    """When it is tried again, in seconds of the monotonic clock."""
    _computes: bool = False
    _reported: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def keeps(self) -> bool:
        """Whether anything that is put can be found again."""
        return self.store.keeps or self.instead is not None

    def has(self, key: Digest) -> str | None:
        """The tier that has a record."""
        found = None if key in self._dropped else self.store.has(key)
        return self.instead.has(key) if found is None and self.instead else found

    def get(self, key: Digest) -> Record | None:
        """The record under a key."""
        found = None if key in self._dropped else self.store.get(key)
        return self.instead.get(key) if found is None and self.instead else found

    def put(self, key: Digest, outputs: Mapping[str, Computed], seconds: float, trace: Mapping[str, Any]) -> None:
        """Keep a record, where that can be."""
        self._computes = True
        if not self._waits() and self._kept(lambda: self.store.put(key, outputs, seconds, trace)):
            self._dropped.discard(key)
        elif self.instead:
            self.instead.put(key, outputs, seconds, trace)

    def drop(self, key: Digest) -> None:
        """Forget a damaged record; one that cannot be removed is there no more for this run."""
        if not self._kept(lambda: self.store.drop(key)):
            self._dropped.add(key)

    def recall(self, key: Digest, kind: type[N]) -> N | None:
        """The note of a type under a key."""
        found = self.store.recall(key, kind)
        return self.instead.recall(key, kind) if found is None and self.instead else found

    def remember(self, key: Digest, note: Note) -> None:
        """Keep a note, where that can be."""
        kept = not self._waits() and self._kept(lambda: self.store.remember(key, note))
        if not kept and self.instead:
            self.instead.remember(key, note)

    def claim(self, key: Digest, expected: float | None = None) -> Claim | None:
        """Permission to compute a key."""
        return self.store.claim(key, expected)

    def claimed(self, key: Digest) -> Claimant | None:
        """Who computes a key."""
        return self.store.claimed(key)

    def keep_state(self, key: Digest, state: Mapping[str, Any]) -> None:
        """Keep how far a call has come, where that can be."""
        self._computes = True
        if not self._waits():
            self._kept(lambda: self.store.keep_state(key, state))

    def kept_state(self, key: Digest) -> Mapping[str, Any] | None:
        """The state that was kept last."""
        return self.store.kept_state(key)

    def drop_state(self, key: Digest) -> None:
        """Forget the state of a call."""
        self._kept(lambda: self.store.drop_state(key))

    def check_writable(self) -> None:
        """Report, before anything is computed, where nothing can be kept."""
        self._computes = True
        self._kept(lambda: self.store.check_writable())

    def keep_within(self, max_bytes: int) -> None:
        """Keep the store within its size, where that can be."""
        self._kept(lambda: self.store.keep_within(max_bytes))

    def _waits(self) -> bool:
        """Whether it is not tried again yet."""
        return self._again > 0 and self._again > time.monotonic()

    def _kept(self, write: Callable[[], object]) -> bool:
        """Whether the store could be written; where it could not, the first fault is reported.

        Raises:
            CorruptRecord: for what is damaged, which others answer.
        """
        try:
            write()
        except StoreError as fault:
            self._unkept(fault)
            return False
        return True

    def _unkept(self, fault: StoreError) -> None:
        """Go on without, and report it the first time."""
        if isinstance(fault, CorruptRecord):
            raise fault
        with self._lock:
            self._again = time.monotonic() + AGAIN_SECONDS
            first = self._computes and not self._reported
            self._reported = self._reported or first
        if first:
            self.report(fault)
