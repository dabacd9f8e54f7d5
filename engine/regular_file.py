"""Reading files that somebody else may have put there: regular files only, and never more than a given size.

A pipe waits for its writer, a device has no end, and a sparse file of terabytes takes no space until it is read. Where
a name comes from a stranger's graph, model folder or store, files are opened by these functions. The size is looked at
before anything is read.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

# Opening a pipe without O_NONBLOCK waits for a writer. Systems without these flags have no pipes in folders.
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
UNFIT = frozenset({errno.EFBIG, errno.EINVAL, errno.EISDIR, errno.ELOOP, errno.ENXIO})
"""Errors of the system that are about one file: it is too large, or a folder, a link, a pipe or a socket."""

_NO_LINK = getattr(os, "O_NOFOLLOW", 0)


def read_regular(path: Path | str, most: int, follow: bool = True) -> bytes:
    """The bytes of a regular file.

    Args:
        most: the greatest size that is read, in bytes.
        follow: whether the file may be a symbolic link.

    Raises:
        OSError: where it cannot be read, is no regular file, or is larger.
    """
    descriptor = os.open(path, _FLAGS | (0 if follow else _NO_LINK))
    try:
        size = _size(descriptor, path)
        if size > most:
            raise _too_large(size, most, path)
        content = os.read(descriptor, size)
        if len(content) < size:  # one call gives 2 GB at most
            content = b"".join([content, *iter(partial(os.read, descriptor, size), b"")])
        return content
    finally:
        os.close(descriptor)


def check_regular(path: Path | str, most: int) -> None:
    """Look at a file without opening it.

    Raises:
        OSError: where it is a symbolic link, is no regular file, or is larger than `most` bytes.
    """
    found = os.lstat(path)
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, f"it is {_kind(found.st_mode)}, expected a regular file", str(path))
    if found.st_size > most:
        raise _too_large(found.st_size, most, path)


@contextmanager
def opened_regular(path: Path | str) -> Iterator[tuple[int, int]]:
    """The descriptor and the size of a regular file, open for reading.

    Raises:
        OSError: where it cannot be opened, or is no regular file.
    """
    descriptor = os.open(path, _FLAGS)
    try:
        yield descriptor, _size(descriptor, path)
    finally:
        os.close(descriptor)


def _size(descriptor: int, path: Path | str) -> int:
    """The size of an open regular file."""
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, f"it is {_kind(found.st_mode)}, expected a regular file", str(path))
    return found.st_size


def _too_large(size: int, most: int, path: Path | str) -> OSError:
    return OSError(errno.EFBIG, f"it has {size:,} bytes, over {most:,}", str(path))


def _kind(mode: int) -> str:
    """What is there instead of a regular file."""
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFLNK: "a link"}
    return kinds.get(stat.S_IFMT(mode), "a device")
