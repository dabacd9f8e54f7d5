"""JSON as graph and job files are read: strict about keys that stand twice, numbers that nothing holds, and depth."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from weft.engine.errors import GraphError, Problem
from weft.engine.types import NoNumber

MAX_DEPTH = 200
"""How deep a graph file may nest objects and lists."""

_ESCAPE = re.compile(r"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|(u[dD][89a-fA-F]..)|.)", re.DOTALL)
"""An escape of a JSON string: a surrogate pair, half of one (in the group), or any other."""


class _Duplicated(dict[str, Any]):
    """An object whose text gave some keys more than once; it holds the last of each."""

    keys_twice: tuple[str, ...] = ()


def parse(content: bytes | str, faults: list[Problem]) -> Any:
    """JSON to plain values; numbers that no input takes become `NoNumber`.

    Args:
        faults: where what is wrong with parts of it is added, such as a key that stands twice.

    Raises:
        GraphError: where the text is no JSON.
    """
    duplicated = False

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal duplicated
        plain = dict(items)
        if len(plain) == len(items):
            return plain
        duplicated = True
        marked = _Duplicated(plain)
        marked.keys_twice = tuple(name for name, count in Counter(name for name, _ in items).items() if count > 1)
        return marked

    text = _text(content)
    try:
        tree = json.loads(text, object_pairs_hook=pairs, parse_constant=NoNumber, parse_float=_real, parse_int=_whole)
    except json.JSONDecodeError as fault:
        place = f"line {fault.lineno}, column {fault.colno}"
        raise GraphError([Problem(f"not JSON: {fault.msg} at {place}", "fix the text there")]) from None
    except RecursionError:
        raise GraphError([_too_deep()]) from None
    if _too_nested(tree):
        raise GraphError([_too_deep()])
    faults += _duplicates(tree) if duplicated else ()
    return tree


def _text(content: bytes | str) -> str:
    try:
        text = content.decode("utf-8-sig") if isinstance(content, bytes) else content
    except UnicodeDecodeError as fault:
        raise GraphError([Problem(f"not JSON: byte {fault.start} is not UTF-8", "save the file as UTF-8")]) from None
    half = next((escape for escape in _ESCAPE.finditer(text) if escape.group(1)), None)
    if half:
        line = text.count("\n", 0, half.start()) + 1
        message = f"not JSON: {half.group()} in line {line} is half of a surrogate pair, no character"
        raise GraphError([Problem(message, "write the character itself, or both halves")])
    return text


def _real(text: str) -> float | NoNumber:
    parsed = float(text)
    return parsed if math.isfinite(parsed) else NoNumber(text)


def _whole(text: str) -> int | NoNumber:
    if len(text) <= 20 and -(2**63) <= int(text) < 2**64:
        return int(text)
    return NoNumber(text if len(text) <= 40 else f"a number of {len(text)} digits", "beyond 64 bits")


def _too_deep() -> Problem:
    return Problem(
        f"nested deeper than {MAX_DEPTH} levels", "a graph file needs about 6; use subgraphs to structure it"
    )


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
                yield Problem(
                    f"the {what} `{name}` stands twice in the same object", "rename or remove one", *place_of(path)
                )


def place_of(path: tuple[str, ...]) -> tuple[str, str]:
    """The node and the input that a path in the document is about."""
    if "nodes" not in path or path.index("nodes") + 1 >= len(path):
        return ".".join(path), ""
    start = path.index("nodes") + 1
    scope = [path[n + 1] for n in range(start - 1) if path[n] == "graphs" and n + 1 < start]
    node = "/".join([*scope, path[start]])
    rest = path[start + 1 :]
    return node, ".".join(rest[1:] if rest[:1] == ("inputs",) else rest)
