"""A store that machines share, at any URL that fsspec knows: the same files as on disk, kept behind a nearer store.

    stacked(DiskStore(folder), memory, "s3://bucket/weft")   memory over disk over shared

What is fetched is copied into the nearer store, so it is fetched once; only what took longer to compute than a trip to
the other machine is sent. A place that does not answer fails no run. Nothing is removed there but what is damaged, so
the size of a shared store is for its owner to limit.
"""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

from weft.engine.errors import StoreError
from weft.engine.keys import Digest
from weft.engine.store import (
    Computed,
    CorruptRecord,
    CostNote,
    Handle,
    HistoryNote,
    MemoryNote,
    Note,
    PaceNote,
    Record,
    ResultNote,
    Store,
)
from weft.engine.store.memory import MemoryStore
from weft.engine.store.notes import N
from weft.engine.store.record_files import FileStore, trace_name
from weft.engine.store.remote import TolerantFiles, files_at
from weft.engine.store.store_layout import refuse_newer
from weft.engine.store.tiers import Tiers

WORTH_SENDING = 0.1
"""Seconds that a call must have taken: what is quicker is computed again sooner than it is fetched."""

Report = Callable[[str], None]


def stacked(lasting: Store, memory: int, shared: str | None = None, report: Report = warnings.warn) -> Tiers:
    """Memory over a lasting store, over a shared store where one is named.

    Args:
        memory: bytes of values to keep in memory.
        shared: a URL or a folder.
        report: called with a message where the shared store does not answer.
    """
    near = (MemoryStore(memory), lasting)
    return Tiers((*near, SharedStore(shared, lasting, report))) if shared else Tiers(near)


@dataclass
class SharedStore(FileStore):
    """A store at a URL. One of a newer layout raises `InputError` at its first use.

    Args:
        url: `s3://bucket/folder`, any other that fsspec knows, or a folder.
        near: any store; what is fetched is copied into it.
        report: called with a message where the place does not answer.
        worth: seconds that a call must have taken for its result to be sent.
    """

    url: str
    near: Store
    report: Report = warnings.warn
    worth: float = WORTH_SENDING
    files: TolerantFiles = field(init=False, repr=False)
    tier: ClassVar[str] = "shared"
    _sent: deque[Digest] = field(default_factory=lambda: deque(maxlen=1000), repr=False)

    def __post_init__(self) -> None:
        self.files = TolerantFiles(
            self.url, files_at(self.url), self.report, partial(refuse_newer, name=f"at {self.url}")
        )

    def has(self, key: Digest) -> str | None:
        """`shared` where there is a record; whether it is whole shows when it is fetched."""
        return self.tier if self.files.exists(trace_name(key)) else None

    def get(self, key: Digest) -> Record | None:
        """The record, whose values are fetched into the nearer store."""
        record = super().get(key)
        if record is None:
            return None
        handles = {name: Handle(one.digest, partial(self._fetched, key, name)) for name, one in record.outputs.items()}
        return Record(handles, record.seconds, self.tier, record.made_by)

    def put(self, key: Digest, outputs: Mapping[str, Computed], seconds: float, trace: Mapping[str, Any]) -> None:
        """Send a record that took long enough to compute."""
        if seconds >= self.worth and self.files.answers:
            super().put(key, outputs, seconds, trace)
            self._sent.append(key)

    def drop(self, key: Digest) -> None:
        """Remove a record that is damaged here; the one that was dropped may have been damaged in the nearer store."""
        try:
            for name in self.blobs_of(key):
                self.blob(key, name)
        except CorruptRecord:
            super().drop(key)

    def recall(self, key: Digest, kind: type[N]) -> N | None:
        """The note of a type under a key, which is copied into the nearer store. Histories are each machine's own."""
        note = None if kind is HistoryNote else super().recall(key, kind)
        if note is not None:
            with suppress(StoreError):  # a nearer store that may only be read
                self.near.remember(key, note)
        return note

    def remember(self, key: Digest, note: Note) -> None:
        """Send the note of a result that was sent, and costs that are worth it."""
        match note:
            case ResultNote(content):
                wanted = content in self._sent
            case CostNote(seconds):
                wanted = seconds >= self.worth
            case PaceNote(timings):
                wanted = any(one.seconds >= self.worth for one in timings)
            case MemoryNote():
                wanted = True
            case HistoryNote():
                wanted = False
        if wanted:
            super().remember(key, note)

    def _fetched(self, key: Digest, name: str) -> Any:
        """A value, by way of the nearer store."""
        if self.near.has(key) is None:
            self.copy(key, self.near)
        # A nearer store may decline to keep a record; its value then comes from here.
        record = self.near.get(key) or super().get(key)
        if record is None:
            raise CorruptRecord(key, "its record is missing")
        return record.outputs[name].load()
