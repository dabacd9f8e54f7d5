"""Results on disk: a folder of `layout` files, with the claims of the processes that are computing right now.

    STORE/v1/traces, blobs, notes      see `layout`
    STORE/v1/claims                    see `claims`

Any number of processes and machines may share the folder. `upkeep` counts, verifies and prunes it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from weft.engine.errors import StoreError
from weft.engine.keys import Digest
from weft.engine.store import Computed, Record
from weft.engine.store.claims import Claim, Claimant, Claims
from weft.engine.store.places import LocalFiles
from weft.engine.store.record_files import LAYOUT, FileStore, blob_name, note_name, trace_name

USE_NOTED_EVERY = 3600.0
"""Seconds within which a record's use is noted once."""


@dataclass
class DiskStore(FileStore):
    """A store in a folder.

    Args:
        folder: made when something is first put.
    """

    folder: Path
    files: LocalFiles = field(init=False, repr=False)
    claims: Claims = field(init=False, repr=False)
    tier: ClassVar[str] = "disk"

    def __post_init__(self) -> None:
        self.files = LocalFiles(self.root)
        self.claims = Claims(self.root / "claims")

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
        with self.writing():
            super().put(key, outputs, seconds, trace)

    def drop(self, key: Digest) -> None:
        """Remove a damaged record and those of its blobs that are not what they should be.

        Raises:
            StoreError: where the folder cannot be written.
        """
        with self.writing():
            super().drop(key)

    def remember(self, key: Digest, note: str) -> None:
        """Keep a note.

        Raises:
            StoreError: where the disk is full or the folder cannot be written.
        """
        with self.writing():
            super().remember(key, note)

    def claim(self, key: Digest, expected: float | None = None) -> Claim | None:
        """Claim a key for this process; None where another process of this machine computes it."""
        return self.claims.claim(key, expected)

    def claimed(self, key: Digest) -> Claimant | None:
        """Who on this machine computes a key."""
        return self.claims.claimed(key)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Turns what the system says of a folder that cannot be written into a `StoreError` that names it."""
        try:
            yield
        except OSError as fault:
            raise StoreError(
                f"the store {self.folder} cannot be written: {fault.strerror or fault} "
                "(make room, or choose another folder with --store DIR or WEFT_STORE)"
            ) from fault

    @property
    def root(self) -> Path:
        """The folder of this layout."""
        return self.folder / LAYOUT

    def trace_path(self, key: Digest) -> Path:
        """Where the record of a key lies."""
        return self.root / trace_name(key)

    def blob_path(self, name: str) -> Path:
        """Where a blob lies."""
        return self.root / blob_name(name)

    def note_path(self, key: Digest) -> Path:
        """Where the note under a key lies."""
        return self.root / note_name(key)

    def _touch(self, key: Digest) -> None:
        """Note that a record was used: what was not used for longest is pruned first."""
        path = self.trace_path(key)
        with suppress(OSError):  # a store that may only be read still serves
            if time.time() - path.stat().st_mtime > USE_NOTED_EVERY:
                os.utime(path)
