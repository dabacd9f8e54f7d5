"""Stamps of files: no write leaves one as it was, once the clock of the file system has moved."""

from __future__ import annotations

import os
from pathlib import Path

from weft.engine.file_stamp import FileStamp, wait_for_tick


def test_a_write_that_restores_the_time_leaves_another_stamp(tmp_path: Path) -> None:
    file = tmp_path / "a.bin"
    file.write_bytes(b"one")
    wait_for_tick(FileStamp.of(file.stat()))
    before = file.stat()
    file.write_bytes(b"two")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert FileStamp.of(file.stat()) != FileStamp.of(before)
    assert FileStamp.of(file.stat()).modified == before.st_mtime_ns


def test_only_a_file_that_was_just_written_is_waited_for(tmp_path: Path) -> None:
    file = tmp_path / "a.bin"
    file.write_bytes(b"one")
    os.utime(file)
    assert wait_for_tick(FileStamp.of(file.stat())) and not wait_for_tick(FileStamp.of(file.stat()))
    os.utime(file, (4_000_000_000, 4_000_000_000))
    assert not wait_for_tick(FileStamp.of(file.stat()))
