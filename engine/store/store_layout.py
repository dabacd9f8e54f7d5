"""The version of what lies in a store's folder, and how an older one is brought up to date.

    STORE/layout.json    {"weft_store": 2}, sealed; missing in a store of layout 1

    1    up to Weft 0.1: notes are texts without a type
    2    since Weft 0.2: a note names its type; records and blobs are those of layout 1

Both lie in `STORE/v1`. A store of layout 1 is read as it is, and results are added to it; `weft store migrate` rewrites
its notes. A store of a newer layout is refused before anything in it is read or written.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import orjson

from weft.engine.errors import InputError
from weft.engine.regular_file import UNFIT
from weft.engine.sealing import opened, sealed
from weft.engine.store.places import Files

VERSION = 2

FILE = "layout.json"

LARGEST = 4096
"""Bytes of that file."""


@dataclass(frozen=True)
class Migration:
    """What bringing a store up to date did.

    Args:
        before: the version of the layout that was found.
        after: the version that it has now.
        notes: how many notes were rewritten.
    """

    before: int
    after: int
    notes: int


class Migratable(Protocol):
    """A store whose notes can be listed and rewritten."""

    @property
    def files(self) -> Files:
        """The files of the store."""

    def untyped_notes(self) -> Iterator[str]:
        """The names of the notes of layout 1; damaged ones are left out."""

    def retype(self, name: str) -> None:
        """Rewrite a note with its type; its age stays."""


def read_version(files: Files) -> int:
    """The version of a store's layout; 1 where no file says it, and that of this Weft where the file is damaged.

    Raises:
        OSError: where the store cannot be read.
    """
    try:
        content = files.read(FILE, LARGEST)
    except (FileNotFoundError, NotADirectoryError):
        return 1
    except OSError as fault:
        if fault.errno in UNFIT:
            return VERSION
        raise
    return _version(content) or VERSION


def is_damaged(files: Files) -> bool:
    """Whether the file with the version is there and not what was written."""
    try:
        return _version(files.read(FILE, LARGEST)) is None
    except OSError as fault:
        return fault.errno in UNFIT


def _version(content: bytes) -> int | None:
    """The version that a file says; None where it was not written by Weft."""
    try:
        found = orjson.loads(opened(FILE, content) or b"")["weft_store"]
    except (ValueError, TypeError, KeyError):
        return None
    return found if isinstance(found, int) and found > 0 else None


def write_version(files: Files) -> None:
    """Mark a store as one of this layout.

    Raises:
        OSError: where it cannot be written.
    """
    files.write(FILE, sealed(FILE, orjson.dumps({"weft_store": VERSION}, option=orjson.OPT_APPEND_NEWLINE)))


def refuse_newer(files: Files, name: str) -> None:
    """Stop before a store of a newer layout is touched.

    Raises:
        InputError: naming the store and what to do.
    """
    found = read_version(files)
    if found > VERSION:
        raise InputError(
            f"the store {name} has layout {found}, and this version of Weft knows layouts up to {VERSION}",
            "use a newer Weft (pip install --upgrade weft-engine), or another folder with --store DIR or WEFT_STORE",
            "unsupported-version",
        )


def migrate(store: Migratable) -> Migration:
    """Bring a store to the layout of this version of Weft; runs may use it meanwhile.

    The version is written last, so a migration that was interrupted is simply run again.

    Raises:
        OSError: where the store cannot be written.
    """
    before, count = read_version(store.files), 0
    for name in store.untyped_notes():
        store.retype(name)
        count += 1
    if before != VERSION:
        write_version(store.files)
    return Migration(before, VERSION, count)
