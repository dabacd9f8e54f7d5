"""A store that machines share, at any URL that fsspec knows: the same files as on disk, kept behind the disk.

    stacked(folder, memory, "s3://bucket/weft")   memory over disk over shared

What is fetched is copied to the disk, as files, so it is fetched once; only what took longer to compute than a trip to
the other machine is sent. A place that does not answer fails no run. Nothing is removed there but what is damaged.
"""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from weft.engine.errors import StoreError
from weft.engine.keys import Digest
from weft.engine.store import UNCLAIMED, Claim, Claimant, Computed, CorruptRecord, Handle, Record
from weft.engine.store.disk import DiskStore
from weft.engine.store.memory import MemoryStore
from weft.engine.store.record_files import LAYOUT, FileStore, trace_name
from weft.engine.store.remote import TolerantFiles, files_at
from weft.engine.store.tiers import Tiers

WORTH_SENDING = 0.1
"""Seconds that a call must have taken: what is quicker is computed again sooner than it is fetched."""

Report = Callable[[str], None]


def stacked(folder: Path, memory: int, shared: str | None = None, report: Report = warnings.warn) -> Tiers:
    """Memory over disk, over a shared store where one is named.

    Args:
        memory: bytes of values to keep in memory.
        shared: a URL or a folder.
        report: is told where the shared store does not answer.
    """
    disk = DiskStore(folder)
    near = (MemoryStore(memory), disk)
    return Tiers((*near, SharedStore(shared, disk, report))) if shared else Tiers(near)


@dataclass
class SharedStore(FileStore):
    """A store at a URL.

    Args:
        url: `s3://bucket/folder`, any other that fsspec knows, or a folder.
        near: what is fetched is copied into it.
        report: is told where the place does not answer.
        worth: seconds that a call must have taken for its result to be sent.
    """

    url: str
    near: DiskStore
    report: Report = warnings.warn
    worth: float = WORTH_SENDING
    files: TolerantFiles = field(init=False, repr=False)
    tier: ClassVar[str] = "shared"
    _sent: deque[Digest] = field(default_factory=lambda: deque(maxlen=1000), repr=False)

    def __post_init__(self) -> None:
        self.files = TolerantFiles(self.url, files_at(self.url, LAYOUT), self.report)

    def has(self, key: Digest) -> str | None:
        """`shared` where there is a record; whether it is whole is seen when it is fetched."""
        return self.tier if self.files.exists(trace_name(key)) else None

    def get(self, key: Digest) -> Record | None:
        """The record, whose values come by way of the disk."""
        record = super().get(key)
        if record is None:
            return None
        handles = {name: Handle(one.digest, partial(self._fetched, key, name)) for name, one in record.outputs.items()}
        return Record(handles, record.seconds, self.tier)

    def put(self, key: Digest, outputs: Mapping[str, Computed], seconds: float, trace: Mapping[str, Any]) -> None:
        """Send what is worth it."""
        if seconds >= self.worth and self.files.answers:
            super().put(key, outputs, seconds, trace)
            self._sent.append(key)

    def drop(self, key: Digest) -> None:
        """Remove a record that is damaged here; what was dropped may have been damaged nearby."""
        try:
            for name in self.blobs_of(key):
                self.blob(key, name)
        except CorruptRecord:
            super().drop(key)

    def recall(self, key: Digest) -> str | None:
        """The note under a key, which is copied to the disk."""
        note = super().recall(key)
        if note is not None:
            with suppress(StoreError):  # a store nearby that may only be read
                self.near.remember(key, note)
        return note

    def remember(self, key: Digest, note: str) -> None:
        """Send the note if it is about something that was worth sending: a content key, or seconds."""
        if note in self._sent or _seconds(note) >= self.worth:
            super().remember(key, note)

    def claim(self, key: Digest, expected: float | None = None) -> Claim | None:
        """Always: machines do not wait for each other."""
        return UNCLAIMED

    def claimed(self, key: Digest) -> Claimant | None:
        """Nobody."""
        return None

    def _fetched(self, key: Digest, name: str) -> Any:
        """A value, by way of the disk."""
        if self.near.has(key) is None:
            with self.near.writing():
                self.copy(key, self.near)
        record = self.near.get(key)
        if record is None:
            raise CorruptRecord(key, "its record is missing")
        return record.outputs[name].load()


def _seconds(note: str) -> float:
    """The seconds that a note says; none where it says something else."""
    try:
        return float(note)
    except ValueError:
        return 0.0
