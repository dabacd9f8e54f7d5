"""Files by name, `traces/ab/ab12....json`: all that a store of files needs of the place where they lie."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


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

    Args:
        written: bytes written by this process so far.
    """

    root: Path
    written: int = 0

    def read(self, name: str) -> bytes:
        """A file's bytes."""
        return (self.root / name).read_bytes()

    def write(self, name: str, content: bytes) -> None:
        """Write beside and rename into place; nothing half-written is ever seen, and nothing is left behind."""
        path = self.root / name
        beside = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
        try:
            try:
                beside.write_bytes(content)
            except FileNotFoundError:
                path.parent.mkdir(parents=True, exist_ok=True)
                beside.write_bytes(content)
            beside.replace(path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
        self.written += len(content)

    def exists(self, name: str) -> bool:
        """Whether there is such a file."""
        return (self.root / name).exists()

    def remove(self, name: str) -> None:
        """Remove a file, where there is one."""
        (self.root / name).unlink(missing_ok=True)
