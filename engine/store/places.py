"""Files by name, `v1/traces/ab/ab12....json`: all that a store of files needs of the place where they lie."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from weft.engine.atomic_write import replace_file


class Files(Protocol):
    """Whole files: read and written in one go, never changed in place. Each method may raise `OSError`."""

    def read(self, name: str) -> bytes:
        """A file's bytes; `FileNotFoundError` where there is none."""

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

    def read(self, name: str) -> bytes:
        """A file's bytes."""
        with open(self._root + name, "rb", buffering=0) as file:
            return file.readall()

    def write(self, name: str, content: bytes) -> None:
        """Write a temporary file and rename it into place; nothing half-written is ever seen or left behind."""
        replace_file(self._root + name, content)
        self.written += len(content)

    def exists(self, name: str) -> bool:
        """Whether there is such a file."""
        return os.path.exists(self._root + name)

    def remove(self, name: str) -> None:
        """Remove a file, where there is one."""
        with suppress(FileNotFoundError):
            os.unlink(self._root + name)
