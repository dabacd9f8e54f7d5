"""Whole files only: written under a temporary name, then renamed, so that a reader sees the old file or the new one.

Everything that Weft replaces on disk goes through here. Nothing is flushed to the device (no `fsync`): after a power
failure a file may be empty or old, which the digests of stored records find.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from errno import ENOTDIR
from pathlib import Path

from weft.engine.unicode_text import cut_to_bytes

MAX_NAME_BYTES = 255
"""The longest name of a file that common file systems take, in bytes."""

PROBE = 4096
"""Bytes of the file by which it is tried whether a folder can be written to: a full disk has no room for them."""

PROBED = 5.0
"""Seconds for which a folder counts as writable after it was tried. Some file systems (ext4) make files slowly for a
while after files were removed, so runs of a few milliseconds must not each write and remove one."""

MAX_PROBES = 1000

_PROBES: dict[str, tuple[tuple[int, int, int], float]] = {}
"""The device, inode and mode of each folder when it was tried last, and when, in seconds of the monotonic clock."""

_PROCESS = os.urandom(4).hex()
"""Tells processes with equal ids apart, as containers that share a folder have them."""


def replace_file(path: Path | str, content: bytes) -> None:
    """Write a file in place of an older one; its folder is made where it is missing.

    Any number of threads, processes and machines may write one path at once: the last to finish wins, with a whole
    file. A failure leaves the older file and no temporary one.

    Raises:
        OSError: where the folder cannot be written or the disk is full.
    """
    temporary = write_temporary(path, content)
    try:
        os.replace(temporary, path)
    except BaseException:
        _remove(temporary)
        raise


def write_file(path: Path | str, content: bytes) -> None:
    """Write a file that the user names: as `replace_file`, but through links, and into devices and pipes as they are.

    Raises:
        OSError: where it cannot be written; an older file is as it was then.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        target.write_bytes(content)
    else:
        replace_file(target, content)


def check_writable(folder: Path) -> None:
    """Write and remove a small file in a folder, or, where that is missing, in the folder that it would be made in.

    A folder that was tried within the last seconds (`PROBED`) and has the same mode is not tried again.

    Raises:
        OSError: where that fails.
    """
    place = folder.absolute()
    if _was_tried(place):
        return
    while not _is_there(place):
        place = place.parent
    if not place.is_dir():
        raise NotADirectoryError(ENOTDIR, os.strerror(ENOTDIR), str(place))
    if not _was_tried(place):
        _remove(write_temporary(place / "weft", bytes(PROBE)))
        if len(_PROBES) >= MAX_PROBES:
            _PROBES.clear()
        _PROBES[str(place)] = (_identity(place), time.monotonic())


def _was_tried(folder: Path) -> bool:
    """Whether files could be written to a folder within the last seconds, and its mode is the same."""
    if (tried := _PROBES.get(str(folder))) is None:
        return False
    known, at = tried
    try:
        return time.monotonic() - at < PROBED and _identity(folder) == known
    except OSError:
        return False


def _identity(folder: Path) -> tuple[int, int, int]:
    found = folder.stat()
    return found.st_dev, found.st_ino, found.st_mode


def _is_there(path: Path) -> bool:
    try:
        path.lstat()
    except FileNotFoundError:
        return False
    return True


def write_temporary(path: Path | str, content: bytes) -> str:
    """Write a hidden file in the folder of `path`, for the caller to rename or link to its name.

    Returns:
        Its path. The caller removes it, unless it was renamed.

    Raises:
        OSError: where it cannot be written; nothing is left then.
    """
    path = os.fspath(path)
    name = os.path.basename(path)
    folder = path[: len(path) - len(name)]
    # A name of this process and thread alone: two writers of one temporary file would rename each other's halves.
    own = f"{_PROCESS}.{os.getpid()}.{threading.get_ident()}"
    temporary = f"{folder}.{cut_to_bytes(name, MAX_NAME_BYTES - len(own) - 2)}.{own}"
    try:
        try:
            _write(temporary, content)
        except FileNotFoundError:
            os.makedirs(folder, exist_ok=True)
            _write(temporary, content)
    except BaseException:
        _remove(temporary)
        raise
    return temporary


def place_new(source: Path | str, path: Path | str) -> None:
    """Give a finished file of the same file system a name, unless something has that name.

    One atomic step also between processes and machines, by a hard link. Where there are no hard links (exFAT, many
    network and FUSE file systems) the name is taken with an empty file, which the finished one then replaces: a reader
    may see the empty one for a moment, and a process that is killed in between leaves it.

    The source may remain under its old name, for the caller to remove.

    Raises:
        FileExistsError: where something has the name.
        OSError: where the folder cannot be written; nothing has the name then.
    """
    try:
        os.link(source, path)
    except FileExistsError:
        raise
    except OSError:
        _move_without_links(source, path)


def _move_without_links(source: Path | str, path: Path | str) -> None:
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    try:
        os.replace(source, path)
    except BaseException:
        _remove(path)
        raise


def _write(path: str, content: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    try:
        written = os.write(handle, content)
        while written < len(content):  # an unbuffered write may take only a part
            written += os.write(handle, memoryview(content)[written:])
    finally:
        os.close(handle)


def make_folder(path: Path | str) -> None:
    """Make a folder with those that it lies in, unless it is there; quick where it is.

    Raises:
        OSError: where it cannot be made, or something else has its name.
    """
    try:
        os.mkdir(path)
    except FileExistsError:
        if not os.path.isdir(path):
            raise
    except FileNotFoundError:
        os.makedirs(path, exist_ok=True)


def _remove(path: Path | str) -> None:
    with suppress(OSError):
        os.unlink(path)
