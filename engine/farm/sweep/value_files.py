"""Values of a sweep from text files, as editors and spreadsheets write them: lines, tables (CSV), JSON Lines.

Only line feeds and carriage returns end a line; U+0085 and U+2028 are characters of a text. A row that does not fit
its table is refused with its line, never cut or filled up.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from weft.engine.errors import GraphError, InputError, Problem, listed, nearest
from weft.engine.graph.parsing import parse
from weft.engine.types import shown

JSON_LINES = frozenset({".jsonl", ".ndjson"})
TABLES = frozenset({".csv", ".tsv"})

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # begins as the mark of UTF-16 does
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
"""Byte order marks, and the encodings that they announce."""

MAX_BYTES = 2**24
"""Size of a file of values, in bytes."""

MAX_ROWS = 1_000_000
"""Rows of a table or of a JSON Lines file."""

_ARCHIVES = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
"""How the workbooks of spreadsheet programs begin."""

_SEPARATOR_LINE = re.compile(r'"?sep=([^\r\n])"?[ \t,;]*(?:\r\n|\r|\n|\Z)')
"""The first line that names the separator of a table."""


def decoded(path: Path) -> str:
    """The text of a file in UTF-8, or in UTF-16 or UTF-32 with a byte order mark.

    Raises:
        InputError: for any other encoding, with the line.
    """
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        message = f"{path.name} is larger than {MAX_BYTES:,} bytes"
        raise InputError(message, "split the file, and the job", "unreadable-resource")
    if content.startswith(_ARCHIVES):
        message = f"{path.name} is a workbook or an archive, expected a text file"
        raise InputError(message, "save the sheet as `CSV UTF-8`", "unreadable-resource")
    mark, encoding = next((known for known in _MARKS if content.startswith(known[0])), (b"", "utf-8"))
    content = content.removeprefix(mark)
    if b"\0" in content[:1024] and encoding == "utf-8":
        message = f"{path.name} has NUL bytes, expected a text file in UTF-8"
        raise InputError(message, "save it as text in UTF-8", "unreadable-resource")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as fault:
        line = content.count(b"\n", 0, fault.start) + 1
        message = f"{path.name}, line {line}: byte 0x{content[fault.start]:02X} is not {encoding.upper()}"
        hint = "save the file in UTF-8 (in Excel: `CSV UTF-8`); it may be in Windows-1252"
        raise InputError(message, hint, "unreadable-resource") from None


def file_lines(path: Path) -> tuple[str, ...]:
    """The lines of a text file without space around them; empty lines and comments are left out.

    A comment is a line that is `#` alone or begins with `#` and a space; `#1 mug` is a text.

    Raises:
        InputError: for a JSON file, whose lines are no texts.
    """
    _refuse_json(path)
    lines = (line.strip() for line in _split(decoded(path)))
    return tuple(line for line in lines if line and line != "#" and not line.startswith(("# ", "#\t")))


def column_of(path: Path, column: Any) -> tuple[Any, ...]:
    """The values of one column: texts of a table, any values of a JSON Lines file.

    Raises:
        InputError: where a row does not have it, with its line; for a JSON file, whose lines are no rows.
    """
    _refuse_json(path)
    rows = _json_rows(path) if path.suffix.lower() in JSON_LINES else _Table.read(path).rows
    if not rows:
        return ()
    known = [*rows[0].values]
    if not isinstance(column, str):
        raise InputError(f"`column` is missing for {path.name}", f"its columns are: {listed(known)}", "missing-key")
    for row in rows:
        if column not in row.values:
            hint = nearest(column, known) or f"its columns are: {listed(known)}"
            raise InputError(f"{path.name}, line {row.line}: there is no column `{column}`", hint, "unknown-column")
    return tuple(row.values[column] for row in rows)


def _refuse_json(path: Path) -> None:
    if path.suffix.lower() == ".json":
        hint = "write the list into the job file, or one object a line into a .jsonl file"
        raise InputError(f"{path.name} is JSON, expected lines of text or a table", hint, "wrong-kind-of-file")


def _split(text: str) -> list[str]:
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


@dataclass(frozen=True)
class _Row:
    """One row: the line that it begins on, and its values by column."""

    line: int
    values: Mapping[str, Any]


def _json_rows(path: Path) -> list[_Row]:
    rows = []
    for number, line in enumerate(_split(decoded(path)), 1):
        if not line.strip():
            continue
        row = _json_value(line, f"{path.name}, line {number}")
        if not isinstance(row, dict):
            message = f"{path.name}, line {number}: found {shown(row)}"
            raise InputError(message, "write one object a line", "malformed-value")
        rows.append(_Row(number, row))
        _refuse_more_than(MAX_ROWS, rows, path.name)
    return rows


def _json_value(line: str, where: str) -> Any:
    """The value of a line, read as strictly as a job file is.

    Raises:
        InputError: where it is no JSON, a key is written twice, or a number does not fit 64 bits.
    """
    faults: list[Problem] = []
    try:
        value = parse(line, faults, MAX_BYTES)
    except GraphError as fault:
        faults = [*fault.problems]
    if faults:
        hint = "write one object a line" if faults[0].code == "not-json" else faults[0].hint
        raise InputError(f"{where}: {faults[0].message}", hint, faults[0].code)
    return value


def _refuse_more_than(most: int, rows: Sequence[_Row], name: str) -> None:
    if len(rows) > most:
        raise InputError(f"{name} has more than {most:,} rows", "split the file, and the job", "too-many-items")


@dataclass(frozen=True)
class _Table:
    """A table of texts with a header, separated by `,`, `;` or tabs."""

    name: str
    separator: str
    text: str
    skipped: int
    """Lines before the header."""

    @classmethod
    def read(cls, path: Path) -> _Table:
        text = decoded(path)
        if found := _SEPARATOR_LINE.match(text):
            return cls(path.name, found[1], text[found.end() :], 1)
        separator = "\t" if path.suffix.lower() == ".tsv" else _separator(text)
        return cls(path.name, separator, text, 0)

    @property
    def rows(self) -> list[_Row]:
        """The rows below the header; empty ones are left out.

        Raises:
            InputError: where a row has more fields than the header, or a quote does not end.
        """
        records = self._records()
        _, header = next(records, (0, []))
        names = [name.strip() for name in header]
        if twice := next((name for name, count in Counter(names).items() if name and count > 1), None):
            message = f"{self.name} has the column `{twice}` twice"
            raise InputError(message, "rename one of them", "malformed-value")
        rows: list[_Row] = []
        for line, record in records:
            rows.append(_Row(line, self._named(line, names, record)))
            _refuse_more_than(MAX_ROWS, rows, self.name)
        return rows

    def _named(self, line: int, names: Sequence[str], record: Sequence[str]) -> Mapping[str, str]:
        """The fields of a row by column; the header's empty names are no columns."""
        if any(field.strip() for field in record[len(names) :]):
            message = f"{self.name}, line {line}: found {len(record)} fields, the header has {len(names)}"
            separator = {"\t": "a tab"}.get(self.separator, f"`{self.separator}`")
            raise InputError(message, f"put quotes around a text that has {separator} in it", "malformed-value")
        return {name: field for name, field in zip(names, record, strict=False) if name}

    def _records(self) -> Iterator[tuple[int, list[str]]]:
        """Each record that is not empty, with the line that it begins on."""
        reader = csv.reader(io.StringIO(self.text, newline=""), delimiter=self.separator, strict=True)
        line = self.skipped + 1
        try:
            for record in reader:
                if any(field.strip() for field in record):
                    yield line, record
                line = self.skipped + reader.line_num + 1
        except csv.Error:
            message = f"{self.name}, line {line}: a quoted text does not end, or goes on after its quote"
            hint = 'end it with a quote; a quote within it is written twice: "a ""red"" house"'
            raise InputError(message, hint, "malformed-value") from None


def _separator(text: str) -> str:
    """The separator that the header has most; one that no text has for a table of one column."""
    header = next((line for line in _split(text) if line.strip()), "")
    plain = re.sub(r'"[^"]*"', "", header)
    best = max(",;\t", key=plain.count)
    return best if best in plain else "\x1f"
