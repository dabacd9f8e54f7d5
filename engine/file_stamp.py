"""What tells the states of a file apart without reading it: size, both times and inode, as git compares them.

A write always sets the time of the last change (`ctime`) to now, and no program can set it to anything else. So a file
whose content was replaced by another of equal size and restored modification time (`cp -p`, `rsync -t`) has another
stamp. Two writes within one tick of the file system's clock have the same: a file is *settled* when it was written so
long ago that the next write shows.
"""

from __future__ import annotations

import os
import time
from typing import NamedTuple

SETTLING = 2_000_000_000
"""Nanoseconds after a write in which the next one may leave the same times: file systems count in steps up to 2 s."""

TICK = 20_000_000
"""Nanoseconds: twice the longest step of the clock from which Linux takes the times of files."""

CLOCKS_AGREE = 3_600_000_000_000
"""Nanoseconds by which the clock of a file server may be wrong. Files that are younger are compared with what was seen
before, where nothing tells that the file system has the clock of this machine."""


class FileStamp(NamedTuple):
    """The state of a file.

    Args:
        size: in bytes.
        modified: when its content was written, in nanoseconds since 1970; programs can set it.
        changed: when anything of it was last written, in nanoseconds since 1970.
        inode: the number by which its file system knows it.
    """

    size: int
    modified: int
    changed: int
    inode: int

    @classmethod
    def of(cls, status: os.stat_result) -> FileStamp:
        """The stamp of a file whose status was read."""
        return cls(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)

    @property
    def written(self) -> int:
        """The last time of the two, in nanoseconds since 1970: in the future where a program set it so."""
        return max(self.modified, self.changed)


def has_local_clock(device: int) -> bool:
    """Whether times on a file system come from the clock of this machine for certain: it lies on a block device."""
    return hasattr(os, "major") and os.major(device) != 0


def settled(stamp: FileStamp, device: int, now: int, seen: int) -> bool:
    """Whether any write from now on shows in the stamp of a file.

    It does once the clock of its file system has gone on for `SETTLING` since it was written. That clock may be another
    than ours, and programs set times to the future; then it is known when the file was seen that long ago.

    Args:
        now, seen: the present, and when the file was first seen with this stamp, in nanoseconds since 1970.
    """
    return now - seen > SETTLING or now - stamp.written > (SETTLING if has_local_clock(device) else CLOCKS_AGREE)


def wait_for_tick(stamp: FileStamp) -> bool:
    """Wait, if a file was written just now, until its next write would get a later time; whether it waited."""
    age = time.time_ns() - stamp.written
    if not 0 <= age < TICK:
        return False
    time.sleep((TICK - age) / 1e9)
    return True
