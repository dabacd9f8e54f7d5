"""The values of an axis of a sweep: lists, ranges, counts, files of prompts, folders of pictures.

Each source is a function from its JSON to values; `read` chooses it by its key.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from weft.engine.errors import InputError, listed, nearest
from weft.engine.farm.sweep.value_files import JSON_LINES, TABLES, column_of, file_lines
from weft.engine.types import shown, spelled
from weft.engine.unicode_text import escaped, is_unicode

MAX_VALUES = 1_000_000
"""How many values an axis may have."""

PICTURES = frozenset({".png", ".jpg", ".jpeg", ".webp"})

_LETTER = re.compile(r"[^\W\d_]")

_PART = re.compile(r"\s*(-?\d{1,20})(?:-(-?\d{1,20})(?:x(\d{1,20}))?)?\s*\Z")


def ranged(text: str) -> tuple[int, ...]:
    """The numbers of a range as farms write them: `1-100x2,150` is 1, 3, ... 99 and 150.

    Raises:
        InputError: for anything else.
    """
    numbers: list[int] = []
    for part in text.split(","):
        match = _PART.match(part)
        if match is None or match[3] == "0":
            raise InputError(
                f"{shown(part.strip())} is no range",
                "write FIRST-LAST, FIRST-LASTxSTEP or numbers: 1-100x2,150",
                "malformed-value",
            )
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise InputError(
                f"the range {part.strip()} ends before it begins", f"write {last}-{first}", "malformed-value"
            )
        step = int(match[3] or 1)
        if len(numbers) + (last - first) // step >= MAX_VALUES:
            raise InputError(
                f"the range {spelled(text, 60)} has more than {MAX_VALUES:,} numbers", "split the job", "too-many-items"
            )
        numbers += range(first, last + 1, step)
    return tuple(numbers)


def counted(source: Mapping[str, Any], folder: Path) -> tuple[Any, ...]:
    """`{"count": 9, "start": 40}`: so many whole numbers, for seeds."""
    count, start = source["count"], source.get("start", 0)
    for name, number in (("count", count), ("start", start)):
        if type(number) is not int:
            raise InputError(
                f"`{name}` is {shown(number)}, expected a whole number", f'such as "{name}": 9', "wrong-type"
            )
    if not 0 < count <= MAX_VALUES:
        raise InputError(f"`count` is {count}", f"give 1 to {MAX_VALUES:,}", "out-of-range")
    return tuple(range(start, start + count))


def from_file(source: Mapping[str, Any], folder: Path) -> tuple[Any, ...]:
    """`{"file": "prompts.txt"}`: its lines; with `column` one column of a table or of a JSON Lines file."""
    path = _found(source["file"], folder)
    if not path.is_file():
        raise InputError(
            f"`{source['file']}` is no file", 'name a text file, or give {"folder": ...}', "wrong-kind-of-file"
        )
    if path.suffix.lower() in JSON_LINES | TABLES or "column" in source:
        return column_of(path, source.get("column"))
    return file_lines(path)


def gives_texts(source: Any) -> bool:
    """Whether the values of a source are texts that spell values of another type: fields of tables, lines."""
    return isinstance(source, Mapping) and Path(str(source.get("file", ".jsonl"))).suffix.lower() not in JSON_LINES


def pictures(source: Mapping[str, Any], folder: Path) -> tuple[Any, ...]:
    """`{"folder": "faces", "pattern": "*.png"}`: its pictures by name, as paths from the job file's folder.

    Hidden files and folders are left out, such as the `._NAME` files of macOS.
    """
    place = _found(source["folder"], folder)
    if not place.is_dir():
        raise InputError(
            f"`{source['folder']}` is no folder", "name a folder next to the job file", "wrong-kind-of-file"
        )
    names = [path.relative_to(place) for path in _matches(place, source.get("pattern", "*"))]
    visible = [name for name in names if not any(part.startswith(".") for part in name.parts)]
    texts = [(Path(source["folder"]) / name).as_posix() for name in visible if name.suffix.lower() in PICTURES]
    for text in texts:
        if not is_unicode(text):
            message = f"the name of `{escaped(text)}` is not UTF-8, so no graph can have it"
            raise InputError(message, "rename the file", "malformed-path")
    return tuple(texts)


def _matches(place: Path, pattern: Any) -> list[Path]:
    """The files of a folder that match a pattern, sorted by path; capital letters match small ones (`A.PNG`).

    Raises:
        InputError: where the pattern is none, or leads out of the folder.
    """
    hint = "such as *.png, or **/*.png for its subfolders too"
    if not isinstance(pattern, str) or ".." in Path(pattern).parts:
        raise InputError(f"`pattern` is {shown(pattern)}, expected a pattern of file names", hint, "malformed-value")
    try:
        return sorted(path for path in place.glob(_any_case(pattern)) if path.is_file())
    except (ValueError, NotImplementedError) as fault:
        raise InputError(f"`pattern` is {shown(pattern)}: {fault}", hint, "malformed-value") from None


def _any_case(pattern: str) -> str:
    """A pattern of file names in which each letter matches its capital and its small form; sets are as they were."""
    parts = re.split(r"(\[!?\]?[^\]]*\])", pattern)
    return "".join(part if place % 2 else _LETTER.sub(_both, part) for place, part in enumerate(parts))


def _both(match: re.Match[str]) -> str:
    small, capital = match[0].lower(), match[0].upper()
    return f"[{small}{capital}]" if small != capital and len(small) == len(capital) == 1 else match[0]


def _found(name: Any, folder: Path) -> Path:
    """A file or folder in the folder of the job file, nowhere else."""
    if "\0" in str(name):
        raise InputError(f"{shown(name)} has a NUL character", "give a path", "malformed-path")
    path = (folder / str(name)).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise InputError(f"`{name}` is outside of the job's folder", "put it next to the job file", "outside-folders")
    if not path.exists():
        near = nearest(path.name, (one.name for one in path.parent.glob("*")))
        raise InputError(
            f"there is no `{name}` in the folder of the job file", near or "check the path", "missing-file"
        )
    return path


Source = Callable[[Mapping[str, Any], Path], tuple[Any, ...]]

SOURCES: Mapping[str, tuple[Source, frozenset[str]]] = {
    "range": (lambda source, folder: ranged(str(source["range"])), frozenset()),
    "count": (counted, frozenset({"start"})),
    "file": (from_file, frozenset({"column"})),
    "folder": (pictures, frozenset({"pattern"})),
}
"""By its key: what reads a source, and what else may stand in it."""


def read(source: Any, folder: Path) -> tuple[Any, ...]:
    """The values of one axis.

    Args:
        source: a list of literals, or an object with one of the keys of `SOURCES`.
        folder: that of the job file; nothing outside it is read.

    Raises:
        InputError: where it gives no values.
    """
    values = tuple(source) if isinstance(source, list) else _from_object(source, folder)
    if not values:
        raise InputError("there are no values", "give at least one", "no-values")
    return values


def _from_object(source: Any, folder: Path) -> tuple[Any, ...]:
    kinds = [name for name in SOURCES if isinstance(source, Mapping) and name in source]
    if len(kinds) != 1:
        raise InputError(
            f"found {shown(source)}", f"give a list, or an object with one of: {listed(SOURCES)}", "malformed-value"
        )
    function, others = SOURCES[kinds[0]]
    unknown = source.keys() - others - {*kinds}
    if unknown:
        hint = f"with `{kinds[0]}` there may be: {listed(others) or 'none'}"
        raise InputError(f"unknown key `{min(unknown)}`", hint, "unknown-key")
    try:
        return function(source, folder)
    except OSError as fault:
        raise InputError(f"cannot be read: {fault}", "check the file", "unreadable-resource") from None
