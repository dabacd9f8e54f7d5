"""What the command line prints: results on stdout, problems and progress on stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from enum import IntEnum
from pathlib import Path
from typing import Any, TextIO

from weft.engine import atomic_write
from weft.engine.cli.standard_streams import abandon, is_closed
from weft.engine.errors import GraphError, InputError, Problem, SettingsError, StoreError, WeftError
from weft.engine.unicode_text import json_text


class Exit(IntEnum):
    """Exit codes of the command line."""

    DONE = 0
    FAILED = 1
    WRONG = 2
    INTERRUPTED = 130


def json_line(record: Mapping[str, Any]) -> None:
    """One JSON object as a line on stdout; bytes of names that are not UTF-8 are escaped.

    Raises:
        InputError: where stdout is closed.
    """
    stdout = _RESERVED[-1] if _RESERVED else sys.stdout
    if is_closed(stdout):
        raise InputError("--json writes on stdout, which is closed", "open it: --json > FILE", "unwritable-file")
    stdout.write(json_text(record).decode() + "\n")
    stdout.flush()


_RESERVED: list[TextIO] = []
"""The stdout that JSON lines alone go to."""


@contextmanager
def json_alone(wanted: bool) -> Iterator[None]:
    """While the block runs, what nodes and their libraries print goes to stderr, and stdout has JSON lines alone."""
    if not wanted:
        yield
        return
    _RESERVED.append(sys.stdout)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        _RESERVED.pop()


def write_file(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all; missing folders are made.

    Raises:
        InputError: if it cannot be written.
    """
    with writing(path):
        atomic_write.write_file(path, content)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns a failure of the system to write a file into one that names it.

    Raises:
        InputError: where the file cannot be written.
    """
    try:
        yield
    except OSError as fault:
        raise InputError(f"`{path}` cannot be written: {fault.strerror}", "choose another path") from None


def say(text: str) -> None:
    """A line on stderr, for people; it is dropped where stderr cannot be written."""
    try:
        print(text, file=sys.stderr, flush=True)
    except OSError:
        abandon(sys.stderr)


def say_problems(problems: Iterable[Problem], as_json: bool) -> None:
    """Every problem, as text on stderr, and as JSON lines on stdout if `as_json` is set."""
    for problem in problems:
        if as_json and not is_closed(sys.stdout):
            json_line({"event": "problem", **problem.plain()})
        say(f"error: {problem}")


def say_warnings(warnings: Iterable[Problem], as_json: bool = False) -> None:
    """Every warning, as text on stderr, and as JSON lines on stdout if `as_json` is set."""
    for warning in warnings:
        if as_json:
            json_line({"event": "warning", **warning.plain()})
        say(f"warning: {warning}")


def say_error(fault: WeftError, as_json: bool) -> None:
    """An error that ends the command."""
    if isinstance(fault, (GraphError, SettingsError)):
        problems: tuple[Problem, ...] = fault.problems
    elif isinstance(fault, (InputError, StoreError)):
        problems = (Problem.of(fault),)
    else:
        problems = (Problem(str(fault)),)
    say_problems(problems, as_json)
    if len(problems) > 1:
        say(f"{len(problems)} problems")


def table(rows: Iterable[tuple[str, ...]], indent: str = "") -> str:
    """Rows with their columns aligned; the last column is not padded."""
    rows = list(rows)
    if not rows:
        return ""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(indent + line.rstrip() for line in lines)
