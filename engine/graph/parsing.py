"""JSON as graph and job files are read: strict about keys written twice, numbers out of range, depth and size.

The text is looked at before it is parsed: parsed, `{},` takes a hundred bytes.
"""

from __future__ import annotations

import errno
import json
import math
import re
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from weft.engine.errors import MAX_PROBLEMS, GraphError, Problem, capped
from weft.engine.limits import Limits

MAX_DEPTH = 200
"""How deep a graph file may nest objects and lists."""

_SURROGATE = re.compile(r"\\u[dD][89abAB]..\\u[dD][c-fC-F]..|(\\u[dD][89a-fA-F]..)", re.DOTALL)
"""A surrogate pair in escapes of a JSON string, or half of one (in the group)."""


_STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)


class _Duplicated(dict[str, Any]):
    """An object whose text gives some keys more than once; it holds the last value of each."""

    keys_twice: tuple[str, ...] = ()


@dataclass(frozen=True)
class _NoNumber:
    """Stands for a number that no input takes (`NaN`, `1e400`, one beyond 64 bits) until it is reported."""

    text: str
    reason: str


class _Decoder:
    """The hooks of `json.loads`; notes whether there is anything to report."""

    def __init__(self) -> None:
        self.duplicated = False
        self.refused = False

    def pairs(self, items: list[tuple[str, Any]]) -> dict[str, Any]:
        plain = dict(items)
        if len(plain) == len(items):
            return plain
        self.duplicated = True
        marked = _Duplicated(plain)
        marked.keys_twice = tuple(name for name, count in Counter(name for name, _ in items).items() if count > 1)
        return marked

    def real(self, text: str) -> float | _NoNumber:
        parsed = float(text)
        return parsed if math.isfinite(parsed) else self.constant(text)

    def whole(self, text: str) -> int | _NoNumber:
        if len(text) <= 18:
            return int(text)
        if len(text) <= 20 and -(2**63) <= int(text) < 2**64:
            return int(text)
        self.refused = True
        return _NoNumber(text if len(text) <= 40 else f"a number of {len(text)} digits", "beyond 64 bits")

    def constant(self, text: str) -> _NoNumber:
        """`NaN`, `Infinity` and numbers that are as large."""
        self.refused = True
        return _NoNumber(text, "no finite number")


def load_bytes(path: Path, limit: int) -> bytes:
    """The content of a graph or job file.

    Raises:
        GraphError: where it is larger than the limit.
        OSError: where it cannot be read.
    """
    try:
        kind = path.stat().st_mode  # looked at first: a pipe would be waited for as it is opened
    except ValueError:
        raise OSError(errno.EINVAL, "the name has a NUL character") from None
    if not stat.S_ISREG(kind):
        raise OSError(errno.EISDIR if stat.S_ISDIR(kind) else errno.EINVAL, "it is no regular file")
    with path.open("rb") as file:
        content = file.read(max(limit, 0) + 1)
    if len(content) > limit:
        raise GraphError([too_large(limit)])
    return content


def too_large(limit: int) -> Problem:
    """The problem of a graph that is larger than the limit of bytes."""
    return Problem(f"larger than {limit:,} bytes", "raise WEFT_MAX_FILE_BYTES", code="unreadable-file")


def parse(content: bytes | str, faults: list[Problem], limit: int = Limits.max_file_bytes) -> Any:
    """JSON to plain values.

    Args:
        limit: the greatest size of a file in bytes. A text may have an object for 16 of these and a value for 9, each
            of which takes a hundred bytes of memory.
        faults: receives a problem for each part that is left out or ambiguous: a key that is written twice, a number
            that is not finite or beyond 64 bits. What holds such a number (a node's input, a member) is left out.

    Raises:
        GraphError: where the text is no JSON, or too large.
    """
    if len(content) > limit:
        raise GraphError([too_large(limit)])
    text, to = _text(content), _Decoder()
    _refuse_too_many(text, limit)
    try:
        tree = json.loads(
            text, object_pairs_hook=to.pairs, parse_constant=to.constant, parse_float=to.real, parse_int=to.whole
        )
    except json.JSONDecodeError as fault:
        message = f"not JSON: {fault.msg} at line {fault.lineno}, column {fault.colno}"
        raise GraphError([Problem(message, "fix the text there", code="not-json")]) from None
    except RecursionError:
        raise GraphError([_too_deep()]) from None
    if _too_nested(tree):
        raise GraphError([_too_deep()])
    found = capped(chain(_duplicates(tree) if to.duplicated else (), _leave_out(tree) if to.refused else ()))
    if len(found) > MAX_PROBLEMS:
        raise GraphError(found)  # what is left has faults still
    faults += found
    return None if isinstance(tree, _NoNumber) else tree


def _refuse_too_many(text: str, limit: int) -> None:
    """Refuse a text with so many objects and values that they would take much more memory than the text."""
    most_objects, most_values = limit // 16, limit // 9
    for outside_strings in (False, True):
        if outside_strings:  # what a prompt has of these characters is no value
            text = _STRING.sub("", text)
        objects = text.count("{")
        values = objects + text.count("[") + text.count(",")
        if objects <= most_objects and values <= most_values:
            return
    found = f"{objects:,} objects" if objects > most_objects else f"{values:,} values"
    most = most_objects if objects > most_objects else most_values
    message = f"{found}, more than {most:,}"
    raise GraphError([Problem(message, "split the graph, or raise WEFT_MAX_FILE_BYTES", code="too-many-values")])


def _text(content: bytes | str) -> str:
    try:
        text = content.decode("utf-8-sig") if isinstance(content, bytes) else content
    except UnicodeDecodeError as fault:
        message = f"not JSON: byte {fault.start} is not UTF-8"
        raise GraphError([Problem(message, "save the file as UTF-8", code="not-json")]) from None
    escapes = _SURROGATE.finditer(text.replace("\\\\", "  "))  # what follows an escaped backslash is no escape
    half = next((escape for escape in escapes if escape.group(1)), None)
    if half:
        line = text.count("\n", 0, half.start()) + 1
        message = f"not JSON: {half.group()} in line {line} is half of a surrogate pair, no character"
        raise GraphError([Problem(message, "write the character itself, or both halves", code="not-json")])
    return text


def _too_deep() -> Problem:
    hint = "a graph file needs about 6; use subgraphs to structure it"
    return Problem(f"nested deeper than {MAX_DEPTH} levels", hint, code="too-deep")


_Trail = tuple["_Trail", str] | None
"""The place of a container: the trail of the one that holds it, and its name in there; None for the outermost."""


def _walk(tree: Any) -> Iterator[tuple[Any, _Trail]]:
    """Every container of a JSON tree with its trail, without recursion."""
    stack: list[tuple[Any, _Trail]] = [(tree, None)]
    while stack:
        item, trail = stack.pop()
        if isinstance(item, (dict, list)):
            yield item, trail
            members = item.items() if isinstance(item, dict) else enumerate(item)
            stack += [(part, (trail, str(name))) for name, part in members if isinstance(part, (dict, list))]


def _path(trail: _Trail) -> tuple[str, ...]:
    names = []
    while trail:
        trail, name = trail
        names.append(name)
    return tuple(reversed(names))


def _too_nested(tree: Any) -> bool:
    """Whether containers lie deeper than `MAX_DEPTH`."""
    level, depth = [tree], 0
    while level and depth <= MAX_DEPTH:
        groups = [item.values() if isinstance(item, dict) else item for item in level if isinstance(item, (dict, list))]
        level = [child for group in groups for child in group if isinstance(child, (dict, list))]
        depth += 1
    return bool(level)


def _duplicates(tree: Any) -> Iterator[Problem]:
    for item, trail in _walk(tree):
        if isinstance(item, _Duplicated):
            path = _path(trail)
            for name in item.keys_twice:
                what = "node id" if path[-1:] == ("nodes",) else "key"
                message = f"the {what} `{name}` is written twice in the same object"
                yield Problem(message, "rename or remove one", *place_of(path), code="duplicate-key")


def _leave_out(tree: Any) -> Iterator[Problem]:
    """Leave out what holds a number that no input takes; a problem for each part that is left out."""
    for item, trail in _walk(tree):
        members = item.items() if isinstance(item, dict) else enumerate(item)
        for name, number in [(str(name), part) for name, part in members if isinstance(part, _NoNumber)]:
            if place := _removed(tree, (*_path(trail), name)):
                message = f"found {number.text}, which is {number.reason}"
                hint = "give a finite number that 64 bits can hold"
                yield Problem(message, hint, *place_of(place), code="not-a-number")


def _removed(tree: Any, path: tuple[str, ...]) -> tuple[str, ...]:
    """Remove a node's input, or the innermost member outside of any list, that a path leads into.

    Returns:
        Its path; empty where it was removed before.
    """
    holder = tree
    for end, name in enumerate(path, 1):
        if not isinstance(holder, dict):
            return path
        if name not in holder:
            return ()
        is_input = path[max(end - 4, 0) : end - 1 : 2] == ("nodes", "inputs")
        if is_input or end == len(path) or isinstance(holder[name], list):
            del holder[name]
            return path[:end]
        holder = holder[name]
    return ()


def place_of(path: tuple[str, ...]) -> tuple[str, str]:
    """The node and the input that a path in the document is about."""
    if "nodes" not in path or path.index("nodes") + 1 >= len(path):
        return ".".join(path), ""
    start = path.index("nodes") + 1
    scope = [path[n + 1] for n in range(start - 1) if path[n] == "graphs" and n + 1 < start]
    node = "/".join([*scope, path[start]])
    rest = path[start + 1 :]
    return node, ".".join(rest[1:] if rest[:1] == ("inputs",) else rest)
