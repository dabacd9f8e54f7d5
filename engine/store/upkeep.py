"""A store on disk looked after: how much is in it, whether it is whole, and what is removed to keep it small.

A record's modification time says when it was last used. Blobs and notes that nothing refers to are leftovers; those
of the last hour are left alone, since a run that is going on writes blobs before the record that names them. Where a
record's trace has a `partial` key, the note under that key lasts as long as the record.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from weft.engine.keys import Digest, is_digest
from weft.engine.process import machine
from weft.engine.store import CorruptRecord, CostNote, Fault, HistoryNote, MemoryNote, PaceNote, ResultNote, Stats
from weft.engine.store.kept_states import STATES
from weft.engine.store.record_files import FileStore, blob_name, trace_name

GRACE = 3600.0
"""Seconds for which what nothing refers to is left alone."""

DAY = 86_400.0

_UNFINISHED = re.compile(r"\.[0-9a-f]{64}(\.json)?\.[0-9a-f]{8}\.\d+\.\d+\Z")
"""A file that was being written when its process ended (`atomic_write`)."""

FORGET = 30 * DAY
"""Seconds for which the cost of a node whose results are gone is remembered, what a graph last was, and the state of a
call that has not ended."""


@dataclass(frozen=True)
class _Entry:
    """A record as pruning sees it."""

    path: Path
    used: float
    bytes: int
    blobs: tuple[str, ...]
    partial: str


@dataclass(frozen=True)
class Upkeep:
    """Counts, verifies and prunes the files of a store.

    Args:
        store: reads records and notes, and says which claims hold.
        root: the folder that has the folders of records, blobs, notes and claims.
    """

    store: FileStore
    root: Path

    def stats(self) -> Stats:
        """Count what the store holds."""
        found = {kind: [*self._files(kind)] for kind in ("traces", "blobs", "notes", STATES)}
        total = sum(_size(path) for paths in found.values() for path in paths)
        return Stats(len(found["traces"]), len(found["blobs"]), len(found["notes"]), total)

    def note_keys(self) -> Iterator[Digest]:
        """The keys of all notes."""
        return (Digest(path.name) for path in self._files("notes"))

    def verify(self) -> list[Fault]:
        """Every file that is damaged, and every record whose blobs are not all there."""
        return [Fault(str(path), reason) for path, reason in self._damaged()]

    def _damaged(self) -> Iterator[tuple[Path, str]]:
        for path in self._files("blobs"):
            if not self.store.is_whole(path.name):
                yield path, "its bytes do not have the digest in its name"
        for path in self._files("traces"):
            try:
                missing = [name for name in self.store.blobs_of(Digest(path.stem)) if not self._blob(name).exists()]
            except CorruptRecord as damage:
                yield path, damage.reason
                continue
            if missing:
                yield path, f"blob {missing[0][:12]} is missing"
        for path in self._files("notes"):
            try:
                self.store.note(Digest(path.name))
            except CorruptRecord as damage:
                yield path, damage.reason

    def prune(self, max_bytes: int | None = None, older_than: float | None = None) -> Stats:
        """Remove records until the store is small and young enough, and files that nothing refers to.

        Args:
            max_bytes: keep records, the latest used first, while they fit into this many bytes.
            older_than: remove records that were not used for this many seconds.

        Returns:
            What was removed.
        """
        before, now = self.stats(), time.time()
        kept: set[str] = set()
        partials: set[str] = set()
        removed: set[str] = set()
        room = float("inf") if max_bytes is None else max_bytes
        for record in sorted(self._records(), key=lambda record: record.used, reverse=True):
            new = [name for name in record.blobs if name not in kept]
            room -= record.bytes + sum(_size(self._blob(name)) for name in new)
            if room < 0 or (older_than is not None and now - record.used > older_than):
                record.path.unlink(missing_ok=True)
                removed.update(record.blobs)
            else:
                kept.update(new)
                partials.add(record.partial)
        # Records go before their blobs: a run that reads meanwhile finds no record rather than half of one.
        for name in removed - kept:
            self._blob(name).unlink(missing_ok=True)
        self._remove_leftovers(kept, partials, now)
        return before - self.stats()

    def _records(self) -> Iterator[_Entry]:
        for path in self._files("traces"):
            try:
                key, stat = Digest(path.stem), path.lstat()
                partial = self.store.trace_of(key).get("partial")
                named = partial if isinstance(partial, str) else ""
                yield _Entry(path, stat.st_mtime, stat.st_size, self.store.blobs_of(key), named)
            except (CorruptRecord, OSError):
                path.unlink(missing_ok=True)

    def _remove_leftovers(self, kept: set[str], partials: set[str], now: float) -> None:
        for path in self._files("blobs"):
            if path.name not in kept and _age(path, now) > GRACE:
                path.unlink(missing_ok=True)
        for path in self._files("notes"):
            if path.name not in partials and _age(path, now) > self._lasts(Digest(path.name)):
                path.unlink(missing_ok=True)
        for path in self._files("claims"):
            own = path.parent.name == machine()
            # No machine can tell whether a process of another one lives, so claims of others go by age.
            lost = not self.store.claimed(Digest(path.name)) if own else _age(path, now) > DAY
            if lost:
                path.unlink(missing_ok=True)
        for path in self._files(STATES):
            if _age(path, now) > FORGET:
                path.unlink(missing_ok=True)
        for path in self._entries("traces", "blobs", "notes", STATES):
            if _UNFINISHED.match(path.name) and _age(path, now) > GRACE:
                path.unlink(missing_ok=True)

    def _lasts(self, key: Digest) -> float:
        """Seconds for which a note is kept that belongs to no record."""
        try:
            note = self.store.note(key)
        except CorruptRecord:
            return GRACE
        match note:
            case ResultNote(content):
                return math.inf if self._trace(content).exists() else GRACE
            case CostNote() | PaceNote() | MemoryNote() | HistoryNote() | None:
                return FORGET

    def _files(self, kind: str) -> Iterable[Path]:
        """The files of a kind. Whatever else lies in the folder is not the store's to read or to remove."""
        ending = ".json" if kind == "traces" else ""
        return (path for path in self._entries(kind) if is_digest(path.name.removesuffix(ending)))

    def _entries(self, *kinds: str) -> Iterator[Path]:
        """What lies in the folders of these kinds. No link is followed, since it could lead out of the store."""
        for kind in kinds:
            for folder in (self.root / kind).glob("*"):
                if not folder.is_symlink():
                    yield from folder.glob("*")

    def _trace(self, key: Digest) -> Path:
        return self.root.parent / trace_name(key)

    def _blob(self, name: str) -> Path:
        return self.root.parent / blob_name(name)


def _age(path: Path, now: float) -> float:
    try:
        return now - path.lstat().st_mtime
    except OSError:
        return 0.0


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0
