"""A folder that one process at a time has."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from weft.engine.errors import InputError


@contextmanager
def only_one(folder: Path, who: str) -> Iterator[None]:
    """Have a folder, which is made where it is not there, to oneself while the block runs.

    Args:
        who: what has it, for the words of the refusal: `server`, `worker`.

    Raises:
        InputError: where another process has it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a") as file:
        if sys.platform != "win32":
            import fcntl

            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                message = f"another {who} has the folder {folder}"
                raise InputError(message, "name another with --data DIR", "folder-in-use") from None
        yield
