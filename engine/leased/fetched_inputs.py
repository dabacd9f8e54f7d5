"""The files that graphs of a server name, fetched to a worker: by the digests of their content, within a budget."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from weft.engine.errors import InputError
from weft.engine.folder_budget import keep_within
from weft.engine.keys import digest_file

INPUT_NAME = re.compile(r"[0-9a-f]{64}(\.[a-z0-9]{1,12})?\Z")


@dataclass(frozen=True)
class FetchedInputs:
    """Files in a folder; a graph of the server names them and nothing else of this machine.

    Args:
        budget: bytes of all; those that were not used for longest are removed beyond it.
    """

    folder: Path
    budget: int = 4 * 2**30

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for rest in self.folder.glob(".part-*"):  # of a worker that ended while they came
            rest.unlink(missing_ok=True)

    def have(self, wanted: Mapping[str, Any], fetch: Callable[[str, Path, int], None]) -> None:
        """Have a file here, fetched where it is not.

        Args:
            wanted: its `name`, `bytes` and `digest`, as the server says them.
            fetch: gets a name into a path, of so many bytes at most.

        Raises:
            InputError: where what came is not what the server states.
            OSError: where it cannot be kept, as on a full disk.
        """
        name, size, digest = str(wanted["name"]), int(wanted["bytes"]), str(wanted["digest"])
        if not INPUT_NAME.match(name):
            raise InputError(f"the server gives a file the name `{name[:80]}`", "", "malformed-path")
        path = self.folder / name
        if path.is_file() and digest_file(path) == digest:
            os.utime(path)
            return
        part = self.folder / f".part-{secrets.token_hex(8)}"
        self.folder.mkdir(parents=True, exist_ok=True)  # somebody may have deleted it
        try:
            fetch(name, part, size)
            if digest_file(part) != digest:
                raise InputError("a file that the graph names came damaged", "it is fetched again", "wrong-digest")
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        keep_within(self.folder, INPUT_NAME, self.budget, (name,))
