"""The values of an axis of a sweep: lists, ranges, counts, files of prompts, folders of pictures.

Each source is a function from its JSON to values; `read` chooses it by its key.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import orjson

from weft.engine.errors import InputError, listed, nearest
from weft.engine.types import shown

MAX_VALUES = 1_000_000
"""How many values an axis may have."""

PICTURES = frozenset({".png", ".jpg", ".jpeg", ".webp"})

_PART = re.compile(r"\s*(-?\d+)(?:-(-?\d+)(?:x(\d+))?)?\s*\Z")


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
                f"{part.strip()!r} is no range",
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
                f"the range {text} has more than {MAX_VALUES:,} numbers", "split the job", "too-many-items"
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


def lines(source: Mapping[str, Any], folder: Path) -> tuple[Any, ...]:
    """`{"file": "prompts.txt"}`: its lines; of a `.csv` or `.jsonl`, what stands in `column`."""
    path = _found(source["file"], folder)
    text = path.read_text("utf-8-sig")
    if path.suffix.lower() not in (".csv", ".jsonl"):
        return tuple(line for line in map(str.strip, text.splitlines()) if line and not line.startswith("#"))
    rows = _rows(path, text)
    column = source.get("column")
    known = [*rows[0]] if rows else []
    if not isinstance(column, str):
        raise InputError(f"`column` is missing for {path.name}", f"its columns are: {listed(known)}", "missing-key")
    if any(column not in row for row in rows):
        hint = nearest(column, known) or f"its columns are: {listed(known)}"
        raise InputError(f"{path.name} has no column `{column}` in some row", hint, "unknown-column")
    return tuple(row[column] for row in rows)


def _rows(path: Path, text: str) -> list[Mapping[str, Any]]:
    if path.suffix.lower() == ".csv":
        return [*csv.DictReader(io.StringIO(text))]
    rows: list[Mapping[str, Any]] = []
    for number, line in enumerate(text.splitlines(), 1):
        try:
            row = orjson.loads(line) if line.strip() else None
        except ValueError as fault:
            raise InputError(
                f"{path.name}, line {number}: not JSON: {fault}", "write one object a line", "not-json"
            ) from None
        if row is not None and not isinstance(row, dict):
            raise InputError(
                f"{path.name}, line {number}: found {shown(row)}", "write one object a line", "malformed-value"
            )
        rows += [row] if row else []
    return rows


def pictures(source: Mapping[str, Any], folder: Path) -> tuple[Any, ...]:
    """`{"folder": "faces", "pattern": "*.png"}`: its pictures by name, as paths from the job file's folder."""
    place = _found(source["folder"], folder)
    if not place.is_dir():
        raise InputError(
            f"`{source['folder']}` is no folder", "name a folder next to the job file", "wrong-kind-of-file"
        )
    found = sorted(place.glob(str(source.get("pattern", "*"))))
    names = [path.relative_to(place) for path in found if path.suffix.lower() in PICTURES and path.is_file()]
    return tuple((Path(source["folder"]) / name).as_posix() for name in names)


def _found(name: Any, folder: Path) -> Path:
    """A file or folder in the folder of the job file, nowhere else."""
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
    "file": (lines, frozenset({"column"})),
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
    except (OSError, UnicodeDecodeError) as fault:
        raise InputError(f"cannot be read: {fault}", "check the file", "unreadable-resource") from None
