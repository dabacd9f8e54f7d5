"""A store on disk looked after: how much is in it, whether it is whole, and what to let go of.

A record's modification time says when it was last used. Blobs and notes that nothing refers to are leftovers; those
of the last hour are left alone, since a run that is going on writes blobs before the record that names them. Where a
record's trace says its `partial` key, the note under that key lasts as long as the record.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from weft.engine.keys import Digest
from weft.engine.process import machine
from weft.engine.store import CorruptRecord
from weft.engine.store.disk import DiskStore

GRACE = 3600.0
"""Seconds for which what nothing refers to is left alone."""

DAY = 86_400.0

FORGET = 30 * DAY
"""Seconds for which is remembered how long a node took whose results are gone, and what a graph last was."""


@dataclass(frozen=True)
class Stats:
    """What a store holds: counts, and bytes in all."""

    records: int
    blobs: int
    notes: int
    bytes: int


@dataclass(frozen=True)
class Fault:
    """A file of a store that is not what it should be."""

    path: Path
    reason: str


@dataclass(frozen=True)
class _Record:
    path: Path
    key: Digest
    used: float
    bytes: int
    blobs: tuple[str, ...]
    partial: str


def stats(store: DiskStore) -> Stats:
    """Count what a store holds."""
    found = {kind: [*_files(store, kind)] for kind in ("traces", "blobs", "notes")}
    total = sum(_size(path) for paths in found.values() for path in paths)
    return Stats(len(found["traces"]), len(found["blobs"]), len(found["notes"]), total)


def verify(store: DiskStore) -> list[Fault]:
    """Every file that is damaged, and every record whose blobs are not all there; unfinished writes do not count."""
    faults = []
    for path in _files(store, "blobs"):
        if not store.is_whole(path.name):
            faults.append(Fault(path, "its bytes are not what its name says"))
    for path in _files(store, "traces"):
        try:
            missing = [name for name in store.blobs_of(Digest(path.stem)) if not store.blob_path(name).exists()]
        except CorruptRecord as damage:
            faults.append(Fault(path, damage.reason))
            continue
        if missing:
            faults.append(Fault(path, f"blob {missing[0][:12]} is missing"))
    for path in _files(store, "notes"):
        try:
            store.note(Digest(path.name))
        except CorruptRecord as damage:
            faults.append(Fault(path, damage.reason))
    return faults


def prune(store: DiskStore, max_bytes: int | None = None, older_than: float | None = None) -> Stats:
    """Let go of records until the store is small and young enough, and of what nothing refers to.

    Args:
        max_bytes: keep records, the latest used first, while they fit into this many bytes.
        older_than: let go of records that were not used for this many seconds.

    Returns:
        What was let go of.
    """
    before, now = stats(store), time.time()
    kept: set[str] = set()
    partials: set[str] = set()
    let_go: set[str] = set()
    room = float("inf") if max_bytes is None else max_bytes
    for record in sorted(_records(store), key=lambda record: record.used, reverse=True):
        new = [name for name in record.blobs if name not in kept]
        room -= record.bytes + sum(_size(store.blob_path(name)) for name in new)
        if room < 0 or (older_than is not None and now - record.used > older_than):
            record.path.unlink(missing_ok=True)
            let_go.update(record.blobs)
        else:
            kept.update(new)
            partials.add(record.partial)
    for name in let_go - kept:
        store.blob_path(name).unlink(missing_ok=True)
    _remove_leftovers(store, kept, partials, now)
    after = stats(store)
    return Stats(
        before.records - after.records,
        before.blobs - after.blobs,
        before.notes - after.notes,
        before.bytes - after.bytes,
    )


def keep_within(store: DiskStore, max_bytes: int) -> None:
    """Prune a store that has outgrown its size, to nine tenths of it, the longest unused first.

    Weighing walks every file, so it is done once a day, and where this process alone wrote a fiftieth of the size.
    """
    stamp = store.root / "weighed"
    if not store.root.is_dir() or (store.files.written <= max_bytes // 50 and stamp.exists() and _age(stamp) < DAY):
        return
    if stats(store).bytes > max_bytes:
        prune(store, max_bytes * 9 // 10)
    store.files.written = 0
    with store.writing():
        stamp.touch()


def _records(store: DiskStore) -> Iterator[_Record]:
    for path in _files(store, "traces"):
        try:
            key, stat = Digest(path.stem), path.stat()
            partial = store.trace_of(key).get("partial") or ""
            yield _Record(path, key, stat.st_mtime, stat.st_size, store.blobs_of(key), partial)
        except (CorruptRecord, OSError):
            path.unlink(missing_ok=True)


def _remove_leftovers(store: DiskStore, kept: set[str], partials: set[str], now: float) -> None:
    for path in _files(store, "blobs"):
        if path.name not in kept and _age(path, now) > GRACE:
            path.unlink(missing_ok=True)
    for path in _files(store, "notes"):
        if path.name not in partials and _age(path, now) > _lasts(store, Digest(path.name)):
            path.unlink(missing_ok=True)
    for path in _files(store, "claims"):
        lost = not store.claimed(Digest(path.name)) if path.parent.name == machine() else _age(path, now) > DAY
        if lost:
            path.unlink(missing_ok=True)
    for path in _unfinished(store):
        if _age(path, now) > GRACE:
            path.unlink(missing_ok=True)


def _lasts(store: DiskStore, key: Digest) -> float:
    """Seconds for which a note is kept that no record says it belongs to."""
    try:
        note = store.note(key) or ""
    except CorruptRecord:
        return GRACE
    if len(note) != len(key):
        return FORGET
    return math.inf if store.trace_path(Digest(note)).exists() else GRACE


def _age(path: Path, now: float | None = None) -> float:
    try:
        return (time.time() if now is None else now) - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _files(store: DiskStore, kind: str) -> Iterable[Path]:
    return (path for path in (store.root / kind).glob("*/*") if not path.name.startswith("."))


def _unfinished(store: DiskStore) -> Iterable[Path]:
    return store.root.glob("*/*/.*")
