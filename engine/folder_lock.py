"""A folder that one process at a time has."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from weft.engine.errors import InputError


class FolderLock:
    """A lock on a folder, which is made where it is not there.

    Args:
        who: what has it, for the words of the refusal: `server`, `worker`.

    Raises:
        InputError: where another process has it.
    """

    def __init__(self, folder: Path, who: str) -> None:
        self.folder = folder
        self.who = who
        self._file = self._taken()

    def _taken(self) -> IO[str]:
        path = self.folder / "lock"
        while True:
            self.folder.mkdir(parents=True, exist_ok=True)
            file = path.open("a")
            try:
                self._lock(file)
                if _is_at(file, path):
                    return file
            except BaseException:
                file.close()
                raise
            file.close()  # somebody has deleted it meanwhile

    def _lock(self, file: IO[str]) -> None:
        if sys.platform == "win32":
            return
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            message = f"another {self.who} has the folder {self.folder}"
            raise InputError(message, "name another with --data DIR", "folder-in-use") from None

    def check(self) -> None:
        """Take it again where somebody has deleted the folder, or the file in it that says who has it.

        Raises:
            InputError: where another process has it by now.
        """
        if not _is_at(self._file, self.folder / "lock"):
            before, self._file = self._file, self._taken()
            before.close()

    def close(self) -> None:
        """Let others have it."""
        self._file.close()


def _is_at(file: IO[str], path: Path) -> bool:
    """Whether an open file is the one of a path."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


@contextmanager
def only_one(folder: Path, who: str) -> Iterator[FolderLock]:
    """Have a folder to oneself while the block runs.

    Args:
        who: what has it, for the words of the refusal: `server`, `worker`.

    Raises:
        InputError: where another process has it.
    """
    lock = FolderLock(folder, who)
    try:
        yield lock
    finally:
        lock.close()
