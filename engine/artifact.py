"""What a sink returns: bytes with a media type and a name. The engine delivers them as files."""

from __future__ import annotations

import itertools
import re
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from weft.engine.atomic_write import place_new, write_temporary
from weft.engine.errors import CatalogError, InputError
from weft.engine.types import ADDED_LATER, value
from weft.engine.unicode_text import byte_length, escaped, is_unicode
from weft.engine.verdict import Verdict

MAX_PART_BYTES = 200
"""The longest part of a name, in bytes of UTF-8; number and suffix, or a sidecar's suffix, still fit behind it."""

_DEVICES = ("con", "prn", "aux", "nul", "conin$", "conout$")
_RESERVED = {*_DEVICES, *(f"{port}{n}" for port in ("com", "lpt") for n in "123456789\u00b9\u00b2\u00b3")}
"""Names of devices on Windows, also with an ending."""

_UNSAFE = re.compile(r'[\x00-\x1f<>:"|?*\\]')

SUFFIXES = {
    "image/png": ".png",
    "image/webp": ".webp",
    "image/jpeg": ".jpg",
    "application/json": ".json",
    "application/x-safetensors": ".safetensors",
}
"""The suffix of each media type that can be delivered to a folder; node libraries add theirs by `media_type`."""


def media_type(name: str, suffix: str) -> str:
    """Let artifacts of a media type be delivered, as files with a suffix; gives its name.

    Raises:
        CatalogError: where it has another suffix already, or the suffix is none.
    """
    if not re.fullmatch(r"\.[a-z0-9]{1,12}", suffix) or SUFFIXES.setdefault(name, suffix) != suffix:
        raise CatalogError(f"{name} cannot have the suffix {suffix!r}: it has {SUFFIXES.get(name)!r}, or that is none")
    return name


@value
@dataclass(frozen=True)
class Artifact:
    """One file that a run produces.

    Args:
        data: its bytes.
        media_type: such as `image/png`; decides the suffix of the file.
        name: the path in the output folder, without number and suffix; `/` makes subfolders.
        verdict: what was found out about it; None where nothing judged it.
    """

    data: bytes
    media_type: str
    name: str
    verdict: Verdict | None = field(default=None, metadata=ADDED_LATER)

    def __post_init__(self) -> None:
        if not (isinstance(self.data, bytes) and isinstance(self.media_type, str) and isinstance(self.name, str)):
            raise TypeError("an Artifact has its data in bytes, and a media type and a name in text")

    def __repr__(self) -> str:
        size = f"{len(self.data):,} bytes in memory"
        return f"Artifact({self.name!r}, {self.media_type}, {size}; .save(FOLDER) writes a file)"

    def save(self, folder: str | Path = ".") -> Path:
        """Write the file into a folder, as `NAME.png`, or `NAME_2.png` and so on if that name is taken; gives its path.

        An engine writes the artifacts of a graph by itself, with the graph in them. This is for those of a node that is
        called outside of a graph.

        Raises:
            InputError: if the name would leave the folder, or the file cannot be written.
        """
        if reason := name_fault(self.name):
            raise InputError(reason, "give a plain name, with / for subfolders", "malformed-path")
        stem, ending = Path(folder) / self.name, SUFFIXES.get(self.media_type, "")
        try:
            temporary = Path(write_temporary(stem.with_name(f"{stem.name}{ending}"), self.data))
            try:
                for number in itertools.count(1):
                    path = stem.with_name(f"{stem.name}{f'_{number}' if number > 1 else ''}{ending}")
                    with suppress(FileExistsError):
                        place_new(temporary, path)
                        break
            finally:
                temporary.unlink(missing_ok=True)
        except OSError as fault:
            message = f"`{stem}{ending}` cannot be written: {fault.strerror}"
            raise InputError(message, "choose another folder", "unwritable-file") from None
        return path


def name_fault(name: str) -> str | None:
    """Why `name` cannot be an artifact's name on every system, or None.

    A name is one or more parts joined by `/`; it stays inside the output folder.
    """
    if not name.strip():
        return "the name is empty"
    if not is_unicode(name):
        return f"`{escaped(name)}` is not UTF-8"
    if len(name) > 200:
        return f"the name has {len(name)} characters, at most 200 are possible"
    if _UNSAFE.search(name):
        return f"{name!r} has a character that file names cannot have everywhere"
    for part in name.split("/"):
        if part in ("", ".", ".."):
            return f"{name!r} would leave the output folder"
        if (length := byte_length(part)) > MAX_PART_BYTES:
            return f"{part!r} has {length} bytes in UTF-8, at most {MAX_PART_BYTES} are possible"
        if is_reserved(part) or part != part.strip() or part.endswith("."):
            return f"{part!r} is no file name on every system"
    return None


def is_reserved(part: str) -> bool:
    """Whether a part of a name is a device on Windows, such as `con` and `aux.v2`."""
    return part.split(".")[0].rstrip().lower() in _RESERVED
