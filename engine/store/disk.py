"""Results on disk: a folder of `record_files`, with the claims of the processes that are computing right now.

    STORE/layout.json                     see `store_layout`
    STORE/v1/traces, blobs, notes         see `record_files`
    STORE/v1/states                       see `kept_states`
    STORE/v1/claims                       see `claims`
    STORE/v1/weighed                      its modification time says when the store was last measured

Any number of processes and machines may share the folder.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from weft.engine.atomic_write import check_writable, replace_file
from weft.engine.errors import StoreError, writing_hint
from weft.engine.keys import Digest
from weft.engine.store import Claim, Claimant, Computed, CorruptRecord, Fault, Note, Record, Stats
from weft.engine.store.claims import Claims
from weft.engine.store.kept_states import pack_state, state_name, unpack_state
from weft.engine.store.notes import read_untyped
from weft.engine.store.places import LocalFiles
from weft.engine.store.record_files import FOLDER, FileStore, blob_name, note_name, trace_name
from weft.engine.store.store_layout import (
    FILE,
    VERSION,
    Migration,
    is_damaged,
    migrate,
    read_version,
    refuse_newer,
    write_version,
)
from weft.engine.store.trace_record import StoredRecord
from weft.engine.store.upkeep import Upkeep

USE_NOTED_EVERY = 3600.0
"""Seconds within which a record's use is noted once."""

MEASURED_EVERY = 86_400.0
"""Seconds after which the size of a store is measured again, however little this process wrote."""


@dataclass
class DiskStore(FileStore):
    """A store in a folder.

    Args:
        folder: made when something is first put.

    Raises:
        InputError: where the folder holds a store of a newer layout.
    """

    folder: Path
    files: LocalFiles = field(init=False, repr=False)
    claims: Claims = field(init=False, repr=False)
    tier: ClassVar[str] = "disk"
    _upkeep: Upkeep = field(init=False, repr=False)
    _marked: bool = field(default=False, init=False, repr=False)

    def __post_init__(self) -> None:
        self.files = LocalFiles(self.folder)
        self.claims = Claims(self.root / "claims")
        self._upkeep = Upkeep(self, self.root)
        with suppress(OSError):  # a folder that cannot be read shows at its first use
            refuse_newer(self.files, str(self.folder))

    def get(self, key: Digest) -> Record | None:
        """The record; damage in it raises `CorruptRecord` here, damage in a blob when its value is loaded."""
        record = super().get(key)
        if record is not None:
            self._touch(key)
        return record

    def put(self, key: Digest, outputs: Mapping[str, Computed], seconds: float, trace: Mapping[str, Any]) -> None:
        """Write blobs, then the record.

        Raises:
            StoreError: where the disk is full or the folder cannot be written.
        """
        with self._naming_the_folder():
            self._mark()
            super().put(key, outputs, seconds, trace)

    def adopt(self, key: Digest, trace: StoredRecord, blobs: Sequence[bytes]) -> None:
        """Keep a record of another store of files.

        Raises:
            StoreError: where the disk is full or the folder cannot be written.
        """
        with self._naming_the_folder():
            self._mark()
            super().adopt(key, trace, blobs)

    def drop(self, key: Digest) -> None:
        """Remove a damaged record and those of its blobs that are not what they should be.

        Raises:
            StoreError: where the folder cannot be written.
        """
        with self._naming_the_folder():
            super().drop(key)

    def remember(self, key: Digest, note: Note) -> None:
        """Keep a note.

        Raises:
            StoreError: where the disk is full or the folder cannot be written.
        """
        with self._naming_the_folder():
            self._mark()
            super().remember(key, note)

    def keep_state(self, key: Digest, state: Mapping[str, Any]) -> None:
        """Write the state of a call as one file, in place of the one before.

        Raises:
            StoreError: where the disk is full or the folder cannot be written.
        """
        with self._naming_the_folder():
            self._mark()
            self.files.write(state_name(key), pack_state(key, state))

    def kept_state(self, key: Digest) -> Mapping[str, Any] | None:
        """The state of a call; a damaged one counts as none, and the call begins at its beginning."""
        try:
            return unpack_state(key, self.files.read(state_name(key)))
        except (OSError, CorruptRecord):
            return None

    def drop_state(self, key: Digest) -> None:
        """Remove the state of a call.

        Raises:
            StoreError: where the folder cannot be written.
        """
        with self._naming_the_folder():
            self.files.remove(state_name(key))

    def claim(self, key: Digest, expected: float | None = None) -> Claim | None:
        """Claim a key for this process; None where another process of this machine computes it."""
        return self.claims.claim(key, expected)

    def claimed(self, key: Digest) -> Claimant | None:
        """Who on this machine computes a key."""
        return self.claims.claimed(key)

    def stats(self) -> Stats:
        """Count the files."""
        return self._upkeep.stats()

    def verify(self) -> list[Fault]:
        """Every file that is damaged, and every record whose blobs are not all there."""
        layout = [Fault(str(self.folder / FILE), "it is damaged")] if is_damaged(self.files) else []
        return [*layout, *self._upkeep.verify()]

    def prune(self, max_bytes: int | None = None, older_than: float | None = None) -> Stats:
        """Remove records until the store is small and young enough, and files that nothing refers to."""
        return self._upkeep.prune(max_bytes, older_than)

    def check_writable(self) -> None:
        """Write and remove a small file.

        Raises:
            StoreError: where the disk is full or the folder cannot be written.
        """
        with self._naming_the_folder():
            check_writable(self.root)

    def keep_within(self, max_bytes: int) -> None:
        """Prune to nine tenths of a size where it is exceeded, the longest unused first.

        Measuring walks every file, so it is done once a day, and where this process alone wrote a fiftieth of the size.

        Raises:
            StoreError: where the folder cannot be read or written.
        """
        stamp = self.root / "weighed"
        due = time.time() - _modified(stamp) >= MEASURED_EVERY
        with self._naming_the_folder():
            if not self.root.is_dir() or (self.files.written <= max_bytes // 50 and not due):
                return
            if self.stats().bytes > max_bytes:
                self.prune(max_bytes * 9 // 10)
            self.files.written = 0
            replace_file(stamp, b"")  # in place of a link, if somebody put one there

    def migrate(self) -> Migration:
        """Bring a store of an older layout up to date.

        Raises:
            StoreError: where the folder cannot be written.
        """
        with self._naming_the_folder():
            return migrate(self) if self.root.is_dir() else Migration(VERSION, VERSION, 0)

    @property
    def layout(self) -> int:
        """The version of the layout of what lies in the folder; that of this Weft where nothing does."""
        return read_version(self.files) if self.root.is_dir() else VERSION

    def untyped_notes(self) -> Iterator[str]:
        """The keys of the notes of layout 1; damaged ones are left out, and found by `verify`."""
        for key in self._upkeep.note_keys():
            with suppress(CorruptRecord):
                body = self.note_body(key)
                if body is not None and read_untyped(body) is not None:
                    yield key

    def retype(self, name: str) -> None:
        """Rewrite a note with its type."""
        key = Digest(name)
        if (note := self.note(key)) is not None:
            path = self.note_path(key)
            stat = path.stat()
            super().remember(key, note)
            os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # pruning goes by age

    @property
    def root(self) -> Path:
        """The folder of records, blobs, notes and claims."""
        return self.folder / FOLDER

    def trace_path(self, key: Digest) -> Path:
        """Where the record of a key lies."""
        return self.folder / trace_name(key)

    def blob_path(self, name: str) -> Path:
        """Where a blob lies."""
        return self.folder / blob_name(name)

    def note_path(self, key: Digest) -> Path:
        """Where the note under a key lies."""
        return self.folder / note_name(key)

    def _mark(self) -> None:
        """Mark a new store with the version of its layout, before anything else is in it."""
        if self._marked:
            return
        if not self.root.exists() or is_damaged(self.files):
            write_version(self.files)
        self._marked = True

    @contextmanager
    def _naming_the_folder(self) -> Iterator[None]:
        """Turns an error of the system about a folder that cannot be written into a `StoreError` that names it."""
        try:
            yield
        except OSError as fault:
            raise StoreError(
                f"the store {self.folder} cannot be written: {fault.strerror or fault}",
                writing_hint(fault, "--store DIR or WEFT_STORE"),
            ) from fault

    def _touch(self, key: Digest) -> None:
        """Note that a record was used: what was not used for longest is pruned first."""
        path = self.trace_path(key)
        with suppress(OSError):  # a store that may only be read still serves
            if time.time() - path.stat().st_mtime > USE_NOTED_EVERY:
                os.utime(path)


def _modified(path: Path) -> float:
    """When a file was written; 0 where there is none."""
    try:
        return path.lstat().st_mtime
    except OSError:
        return 0.0
