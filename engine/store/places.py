"""Files by name, `v1/traces/ab/ab12....json`: all that a store of files needs of the place where they lie."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from weft.engine.atomic_write import replace_file
from weft.engine.keys import Digest, digest_file
from weft.engine.regular_file import check_regular, read_regular

LARGEST_FILE = 2**34
"""Bytes; a larger file of a store is not read."""


class Files(Protocol):
    """Whole files: read and written in one go, never changed in place. Each method may raise `OSError`."""

    def read(self, name: str, most: int = LARGEST_FILE) -> bytes:
        """A file's bytes; `FileNotFoundError` where there is none, another `OSError` where it has more than `most`."""

    def digest(self, name: str) -> Digest:
        """The digest of a file's bytes; `FileNotFoundError` where there is none."""

    def write(self, name: str, content: bytes) -> None:
        """Write a file, instead of an older one; nobody sees half of it."""

    def exists(self, name: str) -> bool:
        """Whether there is such a file."""

    def remove(self, name: str) -> None:
        """Remove a file, where there is one."""


@dataclass
class LocalFiles:
    """Files in a folder, which is made when the first is written.

    Names are joined as text: a store has many small files, and paths made of names would take half as long again.

    Args:
        written: bytes written by this process so far.
    """

    root: Path
    written: int = 0

    def __post_init__(self) -> None:
        self._root = f"{self.root}/"

    def read(self, name: str, most: int = LARGEST_FILE) -> bytes:
        """A file's bytes. Whoever shares the store could have put a link or a pipe there: neither is read."""
        return read_regular(self._root + name, most, follow=False)

    def digest(self, name: str) -> Digest:
        """The digest of a file's bytes, read in parts: the file may be larger than memory."""
        path = Path(self._root + name)
        check_regular(path, LARGEST_FILE)
        return digest_file(path)

    def write(self, name: str, content: bytes) -> None:
        """Write a temporary file and rename it into place; nothing half-written is ever seen or left behind.

        Raises:
            OSError: also where its folder is a link, which could lead out of the store.
        """
        if self._behind_link(name):
            raise OSError(errno.ELOOP, "a folder in it is a link", self._root + name)
        replace_file(self._root + name, content)
        self.written += len(content)

    def exists(self, name: str) -> bool:
        """Whether there is such a file."""
        return os.path.exists(self._root + name)

    def remove(self, name: str) -> None:
        """Remove a file, where there is one."""
        if not self._behind_link(name):
            with suppress(FileNotFoundError):
                os.unlink(self._root + name)

    def _behind_link(self, name: str) -> bool:
        """Whether the folder of a file in the store is a link, which could lead out of the store."""
        folder, slash, _ = name.rpartition("/")
        return bool(slash) and os.path.islink(self._root + folder)
