"""JSON as graph and job files are read: strict about keys written twice, numbers out of range, and depth."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from weft.engine.errors import GraphError, Problem

MAX_DEPTH = 200
"""How deep a graph file may nest objects and lists."""

_ESCAPE = re.compile(r"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|(u[dD][89a-fA-F]..)|.)", re.DOTALL)
"""An escape of a JSON string: a surrogate pair, half of one (in the group), or any other."""


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
        if len(text) <= 20 and -(2**63) <= int(text) < 2**64:
            return int(text)
        self.refused = True
        return _NoNumber(text if len(text) <= 40 else f"a number of {len(text)} digits", "beyond 64 bits")

    def constant(self, text: str) -> _NoNumber:
        """`NaN`, `Infinity` and numbers that are as large."""
        self.refused = True
        return _NoNumber(text, "no finite number")


def parse(content: bytes | str, faults: list[Problem]) -> Any:
    """JSON to plain values.

    Args:
        faults: receives a problem for each part that is left out or ambiguous: a key that is written twice, a number
            that is not finite or beyond 64 bits. What holds such a number (a node's input, a member) is left out.

    Raises:
        GraphError: where the text is no JSON.
    """
    text, to = _text(content), _Decoder()
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
    faults += _duplicates(tree) if to.duplicated else ()
    faults += _leave_out(tree) if to.refused else ()
    return None if isinstance(tree, _NoNumber) else tree


def _text(content: bytes | str) -> str:
    try:
        text = content.decode("utf-8-sig") if isinstance(content, bytes) else content
    except UnicodeDecodeError as fault:
        message = f"not JSON: byte {fault.start} is not UTF-8"
        raise GraphError([Problem(message, "save the file as UTF-8", code="not-json")]) from None
    half = next((escape for escape in _ESCAPE.finditer(text) if escape.group(1)), None)
    if half:
        line = text.count("\n", 0, half.start()) + 1
        message = f"not JSON: {half.group()} in line {line} is half of a surrogate pair, no character"
        raise GraphError([Problem(message, "write the character itself, or both halves", code="not-json")])
    return text


def _too_deep() -> Problem:
    hint = "a graph file needs about 6; use subgraphs to structure it"
    return Problem(f"nested deeper than {MAX_DEPTH} levels", hint, code="too-deep")


def _walk(tree: Any) -> Iterator[tuple[Any, tuple[str, ...]]]:
    """Every container of a JSON tree with its path, without recursion."""
    stack: list[tuple[Any, tuple[str, ...]]] = [(tree, ())]
    while stack:
        item, path = stack.pop()
        if isinstance(item, dict):
            yield item, path
            stack += [(element, (*path, name)) for name, element in item.items() if isinstance(element, (dict, list))]
        elif isinstance(item, list):
            yield item, path
            stack += [(element, (*path, str(n))) for n, element in enumerate(item) if isinstance(element, (dict, list))]


def _too_nested(tree: Any) -> bool:
    """Whether containers lie deeper than `MAX_DEPTH`."""
    level, depth = [tree], 0
    while level and depth <= MAX_DEPTH:
        groups = [item.values() if isinstance(item, dict) else item for item in level if isinstance(item, (dict, list))]
        level = [child for group in groups for child in group if isinstance(child, (dict, list))]
        depth += 1
    return bool(level)


def _duplicates(tree: Any) -> Iterator[Problem]:
    for item, path in _walk(tree):
        if isinstance(item, _Duplicated):
            for name in item.keys_twice:
                what = "node id" if path[-1:] == ("nodes",) else "key"
                message = f"the {what} `{name}` is written twice in the same object"
                yield Problem(message, "rename or remove one", *place_of(path), code="duplicate-key")


def _leave_out(tree: Any) -> Iterator[Problem]:
    """Leave out what holds a number that no input takes; a problem for each part that is left out."""
    found = [
        ((*path, str(name)), element)
        for item, path in _walk(tree)
        for name, element in (item.items() if isinstance(item, dict) else enumerate(item))
        if isinstance(element, _NoNumber)
    ]
    for path, number in found:
        if place := _removed(tree, path):
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
