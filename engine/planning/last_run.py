"""What a graph was the last time it ran, so that a plan can say what changed since: "`scale` 5.0 -> 7.5"."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from weft.engine.graph.graph import Graph, Link
from weft.engine.keys import Digest, digest
from weft.engine.spec.call import Call, Gather
from weft.engine.store import HistoryNote
from weft.engine.types import NoNumber, shown
from weft.engine.weights.resources import HashedResource

MAX_NODES = 5_000
"""Larger graphs are not remembered: their reasons say only what is in the store."""


@dataclass(frozen=True)
class Memo:
    """A node as it was: its type, and each input as text that differs where the input differs."""

    type: str
    version: int
    origin: str
    inputs: Mapping[str, str]


Snapshot = Mapping[str, Memo]
"""A graph's nodes as they were, by id."""


def memo(call: Call, found: Mapping[str, HashedResource]) -> Memo:
    """A node as it is."""
    inputs = {name: _text(given, found) for name, given in call.inputs.items()}
    return Memo(call.type.name, call.type.version, call.type.origin, inputs)


def _text(given: Any, found: Mapping[str, HashedResource]) -> str:
    if isinstance(given, Link):
        return f"link {given}"
    if isinstance(given, Gather):
        return _cut(f"[{', '.join(_text(item, found) for item in given.items)}]")
    if isinstance(given, str) and given in found:
        return f"{shown(given)} with content {found[given].digest[:8]}"
    if isinstance(given, (str, list, tuple, Mapping)) or given is None or isinstance(given, NoNumber):
        return _literal(given)
    return repr(given)


def _literal(given: Any) -> str:
    return _cut(orjson.dumps(given, default=_plain).decode())


def _cut(text: str) -> str:
    """A text cut to a few words, and its digest where something is left out."""
    return text if len(text) <= 40 else f"{text[:37]}... ({digest(text)[:8]})"


def _plain(item: Any) -> Any:
    return dict(item) if isinstance(item, Mapping) else list(item) if isinstance(item, tuple) else repr(item)


def changes(now: Memo, last: Memo | None) -> tuple[str, ...]:
    """What is different in a node itself, in words; nothing where only something above it changed."""
    if last is None:
        return ("new node",)
    if now.type != last.type:
        return (f"type {last.type} -> {now.type}",)
    if now.version != last.version:
        return (f"node version {last.version} -> {now.version}",)
    if now.origin != last.origin:
        return ("the file of its node type changed",)
    names = [*now.inputs, *(name for name in last.inputs if name not in now.inputs)]
    pairs = ((name, last.inputs.get(name, "nothing"), now.inputs.get(name, "nothing")) for name in names)
    return tuple(f"`{name}` {before} -> {after}" for name, before, after in pairs if before != after)


def history_key(graph: Graph) -> Digest:
    """Where the last run of a graph is remembered: by its file, else by its title."""
    return digest(("history", str(graph.path.resolve()) if graph.path else None, graph.title))


def pack(memos: Iterable[tuple[str, Memo]]) -> HistoryNote:
    """A snapshot as a note."""
    plain = {id: [one.type, one.version, one.origin, one.inputs] for id, one in memos}
    return HistoryNote(orjson.dumps(plain).decode())


def unpack(note: HistoryNote | None) -> Snapshot | None:
    """A snapshot from its note; None where there is none or it cannot be read, which costs reasons and nothing else."""
    try:
        return {id: Memo(*fields) for id, fields in orjson.loads(note.snapshot).items()} if note else None
    except (ValueError, TypeError, AttributeError):
        return None
