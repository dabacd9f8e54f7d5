"""A graph as it was when it last ran, so that a plan can name what changed since: "`scale` 5.0 -> 7.5"."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from weft.engine.graph.graph import Graph, Link
from weft.engine.keys import Digest, digest
from weft.engine.spec.call import Call, Gather
from weft.engine.store import HistoryNote
from weft.engine.types import shown, spelled
from weft.engine.weights.resources import HashedResource

MAX_NODES = 5_000
"""Larger graphs are not remembered: the reasons of their plans name no changes."""


@dataclass(frozen=True)
class Memo:
    """A node as it was: its type, and each input as text that differs where the input differs."""

    type: str
    version: int
    origin: str
    inputs: Mapping[str, str]


@dataclass(frozen=True)
class Snapshot:
    """A graph's nodes as they were.

    Args:
        rows: the fields of each node's memo, by id.
    """

    rows: Mapping[str, Any]

    def get(self, id: str) -> Memo | None:
        """A node as it was; None where there was none, or where that cannot be read."""
        try:
            return Memo(*self.rows[id])
        except (KeyError, TypeError):
            return None


def memo(call: Call, found: Mapping[str, HashedResource]) -> Memo:
    """A node as it is."""
    return Memo(*_row(call, found))


def _row(call: Call, found: Mapping[str, HashedResource]) -> tuple[str, int, str, dict[str, str]]:
    inputs = {name: _text(given, found) for name, given in call.inputs.items()}
    return call.type.name, call.type.version, call.type.origin, inputs


def _text(given: Any, found: Mapping[str, HashedResource]) -> str:
    if isinstance(given, Link):
        return f"link {given}"
    if isinstance(given, Gather):
        return _cut(f"[{', '.join(_text(item, found) for item in given.items)}]")
    if isinstance(given, str) and given in found:
        return f"{shown(given)} with content {found[given].digest[:8]}"
    return _cut(spelled(given))


def _cut(text: str) -> str:
    """A text of at most 40 characters, else its beginning and a digest of all of it."""
    return text if len(text) <= 40 else f"{text[:37]}... ({digest(text)[:8]})"


def changes(now: Memo, last: Memo | None) -> tuple[str, ...]:
    """The differences of a node itself, in words; empty where only something above it changed."""
    if last is None:
        return ("new node",)
    if now.type != last.type:
        return (f"type {last.type} -> {now.type}",)
    if now.version != last.version:
        return (f"node version {last.version} -> {now.version}",)
    if now.origin != last.origin:
        return ("the file of its node type, or a module that it imports, changed",)
    names = [*now.inputs, *(name for name in last.inputs if name not in now.inputs)]
    pairs = ((name, last.inputs.get(name, "nothing"), now.inputs.get(name, "nothing")) for name in names)
    return tuple(f"`{name}` {before} -> {after}" for name, before, after in pairs if before != after)


def history_key(graph: Graph) -> Digest:
    """The key of a graph's last run: made of its file, else of its title."""
    return digest(("history 2", str(graph.path.resolve()) if graph.path else None, graph.title))


def pack(calls: Iterable[tuple[Call, Mapping[str, HashedResource]]]) -> HistoryNote:
    """The nodes of calls with their files, as a note."""
    return HistoryNote(orjson.dumps({call.id: _row(call, found) for call, found in calls}).decode())


def unpack(note: HistoryNote | None) -> Snapshot | None:
    """A snapshot from its note; None where there is none or it cannot be read: reasons then name no changes."""
    try:
        rows = orjson.loads(note.snapshot) if note else None
    except ValueError:
        return None
    return Snapshot(rows) if isinstance(rows, dict) else None
