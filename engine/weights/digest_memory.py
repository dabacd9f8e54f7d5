"""The digests of files on disk, for later processes: one line a digest, only ever added to.

Any number of threads and processes may add lines at once. Each line is added by one write, has a checksum and stands
for itself, so a line that was cut short is skipped. The last line of a path counts. Once most lines are outdated, the
file is rewritten; lines that another process adds meanwhile may be lost, and these files are hashed again.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import orjson

from weft.engine.atomic_write import replace_file
from weft.engine.file_stamp import FileStamp
from weft.engine.keys import Digest, digest_bytes

WORTH_REWRITING = 1_000
"""Outdated lines from which on the file is rewritten, if they are more than the others."""

_CHECKSUM = 16
"""Hexadecimal digits of a line's checksum."""


class Seen(NamedTuple):
    """A file as it was seen.

    Args:
        stamp: its state then.
        content: the digest of its content; None where the file was too new to remember it.
        at: when it was first seen in this state, in nanoseconds since 1970 by the clock of this machine.
    """

    stamp: FileStamp
    content: Digest | None
    at: int


class DigestMemory:
    """Files as they were seen, by path, in a file that processes share. Not for several threads at once.

    Args:
        path: made at the first `add`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: dict[str, Seen] = {}
        self._inode = self._read = self._lines = 0
        self.refresh()

    def get(self, name: str) -> Seen | None:
        """The file of a path as it was seen last, by any process."""
        return self._known.get(name)

    def refresh(self) -> None:
        """Read what was added since. A file that cannot be read is taken for an empty one."""
        try:
            status = self.path.stat()
            if status.st_ino == self._inode and status.st_size == self._read:
                return
            if status.st_ino != self._inode or status.st_size < self._read:
                self._known, self._read, self._lines = {}, 0, 0
            self._inode = status.st_ino
            with self.path.open("rb") as file:
                file.seek(self._read)
                added = file.read()
        except OSError:
            return
        whole = added.rpartition(b"\n")[0]  # a last line without its end is still being written
        self._read += len(whole) + 1 if whole else 0
        for line in filter(None, whole.split(b"\n")):
            self._lines += 1
            if known := _parsed(line):
                self._known[known[0]] = known[1]

    def add(self, seen: Mapping[str, Seen]) -> None:
        """Add files, by one write, each under its path.

        Raises:
            OSError: where the file cannot be written.
        """
        lines = [_line(name, one) for name, one in seen.items()]
        self._known.update(seen)
        content = b"\n".join((b"", *lines, b""))  # begins with a newline, since the last write may have been cut short
        self.path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
        try:
            while content:
                content = content[os.write(handle, content) :]
        finally:
            os.close(handle)
        self.refresh()
        if self._lines - len(self._known) > max(len(self._known), WORTH_REWRITING):
            self._rewrite()

    def _rewrite(self) -> None:
        """Write one line for each file that is still there."""
        kept = {name: one for name, one in self._known.items() if Path(name).exists()}
        replace_file(self.path, b"".join(_line(name, one) + b"\n" for name, one in kept.items()))
        self.refresh()


def _line(name: str, seen: Seen) -> bytes:
    text = orjson.dumps([name, *seen.stamp, seen.content, seen.at])
    return digest_bytes(text)[:_CHECKSUM].encode() + b" " + text


def _parsed(line: bytes) -> tuple[str, Seen] | None:
    checksum, _, text = line.partition(b" ")
    if not text or digest_bytes(text)[:_CHECKSUM].encode() != checksum:
        return None
    name, size, modified, changed, inode, content, at = orjson.loads(text)
    return name, Seen(FileStamp(size, modified, changed, inode), Digest(content) if content else None, at)
