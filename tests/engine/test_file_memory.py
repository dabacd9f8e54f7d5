"""What is kept of files by their stamps: a file is read again where it was written, and while that might not show."""

from __future__ import annotations

import os
import time
from pathlib import Path

from weft.engine.file_memory import FileMemory

LATER = 2 * 3_600_000_000_000
"""Nanoseconds after which a write of now shows on any file system."""


class Reader:
    """Reads files through a memory, and counts how often it had to."""

    def __init__(self, most: int = 100, later: int = LATER) -> None:
        self.reads = 0
        self._memory: FileMemory[bytes] = FileMemory(most, len, lambda: time.time_ns() + later)

    def read(self, path: Path) -> bytes:
        """What the file has."""

        def opened() -> bytes:
            self.reads += 1
            return path.read_bytes()

        return self._memory.of(path.stat(), opened)


def test_a_file_is_read_once_until_it_is_written(tmp_path: Path) -> None:
    file, reader = tmp_path / "a", Reader()
    file.write_bytes(b"one")
    before = file.stat()
    assert [reader.read(file) for _ in range(3)] == [b"one"] * 3 and reader.reads == 1
    time.sleep(0.02)
    file.write_bytes(b"two")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert reader.read(file) == b"two"


def test_nothing_is_kept_of_a_file_that_was_written_just_now(tmp_path: Path) -> None:
    file, reader = tmp_path / "a", Reader(later=0)
    file.write_bytes(b"one")
    reader.read(file)
    reader.read(file)
    assert reader.reads == 2


def test_what_was_asked_for_longest_ago_goes_first(tmp_path: Path) -> None:
    reader, files = Reader(most=10), [tmp_path / name for name in "abc"]
    for file in files:
        file.write_bytes(b"four")
    first, second, third = files
    for file in (first, second, first, third, first):
        reader.read(file)
    assert reader.reads == 3
    reader.read(second)
    assert reader.reads == 4
