"""Digests of files: each file is hashed once, and again when its stamp says that it was written since.

A digest is remembered by path and stamp (`weft.engine.file_stamp`), on disk where a folder is given. A file that was
written in the last moments is hashed each time, until its next write is certain to show in its stamp.
"""

from __future__ import annotations

import os
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from weft.engine.errors import ChangedFile, InputError
from weft.engine.file_stamp import FileStamp, settled, wait_for_tick
from weft.engine.keys import Digest, digest_open_file
from weft.engine.unicode_text import escaped
from weft.engine.weights.digest_memory import DigestMemory, Seen
from weft.engine.weights.resources import HashedResource, Resolved

ATTEMPTS = 5
"""How often a file is hashed that somebody writes at the same time."""


class HashedFile(NamedTuple):
    """A file with the digest of its content.

    Args:
        settled: whether any write after it was hashed shows in its stamp.
    """

    stamp: FileStamp
    content: Digest
    settled: bool


@dataclass
class FileDigests:
    """Digests of files. May be used by several threads.

    Args:
        path: where they are remembered on disk, for all processes; None remembers them in this process.
        now: the clock of this machine, in nanoseconds since 1970.
    """

    path: Path | None = None
    now: Callable[[], int] = field(default=time.time_ns, repr=False)
    _known: dict[str, Seen] = field(default_factory=dict, repr=False)
    _unsaved: dict[str, Seen] = field(default_factory=dict, repr=False)
    _reading: dict[str, threading.Lock] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __post_init__(self) -> None:
        self._memory = DigestMemory(self.path) if self.path else None

    def file(self, path: Path) -> HashedFile:
        """One file with its digest; threads that ask for it at once hash it once.

        Raises:
            ChangedFile: where it is gone, or somebody goes on writing it.
            InputError: where it cannot be read.
        """
        name = escaped(os.path.realpath(path))  # it is kept as JSON, and a stamp tells two files apart
        with self._lock:
            reading = self._reading.setdefault(name, threading.Lock())
        with reading:
            for _ in range(ATTEMPTS):
                status = _status(path)
                stamp = FileStamp.of(status)
                known = self._seen(name, stamp)
                if known and known.content:
                    return HashedFile(stamp, known.content, settled=True)
                if not wait_for_tick(stamp) and (found := self._hashed(path, name, status)):
                    return found
        raise ChangedFile(str(path))

    def of(self, resolved: Resolved) -> HashedResource:
        """A resource with its digest: of its files' names under its root, and of their contents.

        What is new is remembered on disk by the next `save`.

        Raises:
            ChangedFile: where a file is gone, or somebody goes on writing it.
            InputError: where a file cannot be read.
        """
        if resolved.digest is not None:
            return HashedResource(resolved, resolved.digest)
        files = [self.file(path) for path in resolved.files]
        content = resolved.digest_of(file.content for file in files)
        return HashedResource(
            resolved, content, tuple(file.stamp for file in files), all(file.settled for file in files)
        )

    def verify(self, found: HashedResource) -> None:
        """Raise `ChangedFile` unless the files of a resource are what they were when they were hashed.

        What was read of them between is then what the digest says.
        """
        for path, stamp in zip(found.resolved.files, found.stamps, strict=False):
            if FileStamp.of(_status(path)) != stamp:
                raise ChangedFile(str(path))
        if found.stamps and not found.settled and self.of(found.resolved).digest != found.digest:
            raise ChangedFile(str(found.resolved.root))

    def save(self) -> None:
        """Write what is new to disk; where it cannot be written, other processes hash these files again."""
        with self._lock:
            if self._memory is not None and self._unsaved:
                with suppress(OSError):
                    self._memory.add(self._unsaved)
                    self._unsaved = {}

    def _hashed(self, path: Path, name: str, before: os.stat_result) -> HashedFile | None:
        """A file with its digest; None where it was written meanwhile."""
        stamp, began = FileStamp.of(before), self.now()
        at = self._first_seen(name, stamp, began)
        certain = settled(stamp, before.st_dev, began, at)
        with _opened(path) as handle:
            if FileStamp.of(os.fstat(handle)) != stamp:
                return None
            content = digest_open_file(handle)
            if FileStamp.of(os.fstat(handle)) != stamp:
                return None
        self._remember(name, Seen(stamp, content if certain else None, at))
        return HashedFile(stamp, content, certain)

    def _first_seen(self, name: str, stamp: FileStamp, now: int) -> int:
        """When a file was first seen with this stamp."""
        known = self._seen(name, stamp)
        return known.at if known and known.at <= now else now

    def _seen(self, name: str, stamp: FileStamp) -> Seen | None:
        """What is known of a file in this state, by this process or by others."""
        with self._lock:
            known = self._known.get(name)
            if (known and known.stamp == stamp and known.content) or self._memory is None:
                return known if known and known.stamp == stamp else None
            self._memory.refresh()
            found = (self._memory.get(name), known)
            return next((one for one in found if one and one.stamp == stamp), None)

    def _remember(self, name: str, seen: Seen) -> None:
        with self._lock:
            if self._known.get(name) != seen:
                self._known[name] = seen
                if name.isprintable():  # names that are no text cannot be written as JSON
                    self._unsaved[name] = seen


def _status(path: Path) -> os.stat_result:
    try:
        status = path.stat()
    except OSError:
        raise ChangedFile(str(path)) from None
    if not stat.S_ISREG(status.st_mode):
        raise ChangedFile(str(path))
    return status


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    """A file that is open for reading, by its descriptor."""
    # Somebody may put a pipe in its place, which would block.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        handle = os.open(path, flags)
    except FileNotFoundError:
        raise ChangedFile(str(path)) from None
    except OSError as fault:
        message = f"`{path}` cannot be read: {fault.strerror or fault}"
        raise InputError(message, "check the file and its permissions", "unreadable-resource") from fault
    try:
        yield handle
    finally:
        os.close(handle)
