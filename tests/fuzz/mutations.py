"""Mutations of JSON documents: of their structure, and of their bytes.

A mutation is a function of a source of chance and a document. It changes the document in place, or gives another one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, MutableMapping, MutableSequence, Sequence
from random import Random
from typing import Any

from tests.fuzz.fuzzing import Cases

Mutation = Callable[[Random, Any], Any]
Bytewise = Callable[[Random, bytes], bytes]
Place = tuple[Any, Any]
"""A container and a key or an index of it."""

TEXTS = (
    "",
    " ",
    "a",
    "ä",
    "\0",
    "\ud800",
    "\u202e\u2028",
    "\U0001d4b3" * 50,
    "x" * 10_000,
    "%s{0}{x!r}\\u0000",
    "__class__",
    "../outside/graph.json",
    "/etc/passwd",
    "/dev/zero",
    "C:\\CON",
    "builtin:landscapes",
    "builtin:../../x",
    "graph.json",
    "1" * 5000,
    "*",
    "a.b.c",
    "a/b",
    "NaN",
)
NUMBERS = (0, 1, -1, 2**31, 2**63, 2**64, -(2**63), 10**18, 10**400, 0.5, -0.0, 1e308, 5e-324)
PARTS = (
    b"[" * 20_000,
    b'{"a":' * 1000,
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"NaN",
    b"-Infinity",
    b"1e999",
    b"\\ud800",
    b"9" * 5000,
    b"{},",
    b'"',
    b",",
    b"\0",
    b"/* */",
    b'"a":1,"a":2,',
)
"""What is put between the bytes of a document."""
SIZES = (2, 5, 40, 1000)


def count(document: Any, most: int) -> int:
    """How many values a document has; no more than `most` are counted."""
    found = 0
    stack = [document]
    while stack and found < most:
        part = stack.pop()
        found += 1
        stack += part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
    return found


def strange(chance: Random) -> Any:
    """A value that a document seldom has."""
    kind = chance.randrange(8)
    if kind == 0:
        return chance.choice(NUMBERS)
    if kind == 1:
        return chance.choice(TEXTS)
    if kind == 2:
        return chance.choice((None, True, False, float("nan"), float("inf"), [], {}, [[]], {"": {}}))
    if kind == 3:
        return nested(chance.choice((5, 150, 300)), chance.random() < 0.5)
    if kind == 4:
        return [chance.choice((0, "a", None, 1.5))] * chance.choice(SIZES)
    if kind == 5:
        return {f"k{index}": index for index in range(chance.choice(SIZES))}
    if kind == 6:
        return {"link": chance.choice(TEXTS)}
    return {"value": chance.choice((1, {}, {"link": "a"}, {"value": 1}))}


def nested(depth: int, objects: bool) -> Any:
    """Lists or objects in one another."""
    part: Any = 1
    for _ in range(depth):
        part = {"value": part} if objects else [part]
    return part


def _copied(part: Any) -> Any:
    return json.loads(json.dumps(part)) if isinstance(part, (dict, list)) else part


def _place(chance: Random, document: Any) -> Place | None:
    """A member of some object or list, on a walk from the outermost one."""
    found: Place | None = None
    while isinstance(document, (dict, list)) and document and (found is None or chance.random() < 0.8):
        key = chance.choice([*document]) if isinstance(document, dict) else chance.randrange(len(document))
        found = document, key
        document = document[key]
    return found


def replaced(chance: Random, document: Any) -> Any:
    """Something is a strange value."""
    if place := _place(chance, document):
        place[0][place[1]] = strange(chance)
    return document


def removed(chance: Random, document: Any) -> Any:
    """Something is missing."""
    if place := _place(chance, document):
        del place[0][place[1]]
    return document


def repeated(chance: Random, document: Any) -> Any:
    """Something is there many times, under other names."""
    if place := _place(chance, document):
        within, key = place
        most = 3000 // count(within[key], 3000)
        for index in range(min(chance.choice(SIZES), most)):
            if isinstance(within, dict):
                within[f"{key}_{index}"] = _copied(within[key])
            else:
                within.append(within[key])
    return document


def renamed(chance: Random, document: Any) -> Any:
    """A key is another one."""
    place = _place(chance, document)
    if place and isinstance(place[0], dict):
        within, key = place
        other = chance.choice((*TEXTS, f"{key}/x", f"{key}.x", f"@{key}", key.upper(), chance.choice([*within])))
        within[other] = within.pop(key)
    return document


def swapped(chance: Random, document: Any) -> Any:
    """Two parts are in each other's place."""
    one, other = _place(chance, document), _place(chance, document)
    if one and other:
        first, second = _copied(one[0][one[1]]), _copied(other[0][other[1]])
        one[0][one[1]], other[0][other[1]] = second, first
    return document


def moved(chance: Random, document: Any) -> Any:
    """A copy of a part is inside of another one."""
    one, other = _place(chance, document), _place(chance, document)
    if one and other:
        copy, target = _copied(one[0][one[1]]), other[0][other[1]]
        if isinstance(target, MutableMapping):
            target[str(one[1])] = copy
        elif isinstance(target, MutableSequence):
            target.append(copy)
    return document


GENERAL: Sequence[Mutation] = (replaced, removed, repeated, renamed, swapped, moved)


def flipped(chance: Random, text: bytes) -> bytes:
    """Some bytes are others."""
    content = bytearray(text)
    for _ in range(chance.randint(1, 8)):
        if content:
            content[chance.randrange(len(content))] = chance.randrange(256)
    return bytes(content)


def cut(chance: Random, text: bytes) -> bytes:
    """A range is missing."""
    start, end = sorted((chance.randint(0, len(text)), chance.randint(0, len(text))))
    return text[:start] + text[end:] if chance.random() < 0.5 else text[:start]


def inserted(chance: Random, text: bytes) -> bytes:
    """Something that JSON has, or has not, is in between."""
    start = chance.randint(0, len(text))
    part = chance.choice((*PARTS, chance.randbytes(20), text))
    return text[:start] + part + text[start:]


def stretched(chance: Random, text: bytes) -> bytes:
    """A short range is there many times."""
    start = chance.randint(0, len(text))
    part = text[start : start + chance.randint(1, 40)]
    return text[:start] + part * chance.choice((2, 100, 5000)) + text[start:]


BYTEWISE: Sequence[Bytewise] = (flipped, cut, inserted, stretched)


def written(document: Any, ascii: bool) -> bytes:
    """The document as JSON; halves of surrogate pairs are written as escapes."""
    text = json.dumps(document, ensure_ascii=ascii)
    return text.encode("utf-8", "surrogatepass" if ascii else "replace")


def documents(seeds: Sequence[bytes], mutations: Sequence[Mutation]) -> Cases[bytes]:
    """Texts of documents with up to five mutations of their structure, half of them with one or two of their bytes."""

    def made(chance: Random) -> bytes:
        return _mutated(chance, chance.choice(seeds), mutations)

    return made


def _mutated(chance: Random, seed: bytes, mutations: Sequence[Mutation]) -> bytes:
    document = json.loads(seed)
    for _ in range(chance.randint(0, 5)):
        if count(document, 20_000) < 20_000:
            document = chance.choice(mutations)(chance, document)
    try:
        text = written(document, ascii=chance.random() < 0.5)
    except (RecursionError, ValueError):  # nested deeper than Python writes
        text = seed
    for _ in range(chance.choice((0, 0, 1, 2))):
        text = chance.choice(BYTEWISE)(chance, text)
    return text
