"""Two graphs compared node by node. Nodes of one id are the same node; others are matched by structure.

Subgraphs are compared inlined. Nodes of different ids are matched in three steps: those that are equal with everything
above them, then those whose own literals are equal, then those whose type is used once on each side.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from weft.engine.checking.inlining import Flat
from weft.engine.gc import paused_collection
from weft.engine.graph.graph import Given, Link, Node, links_of
from weft.engine.graph.traversal import sources, topological
from weft.engine.keys import digest
from weft.engine.types import spelled

Kind = Literal["added", "removed", "changed", "renamed"]


@dataclass(frozen=True)
class Change:
    """What is different about one node.

    Args:
        node: its id in the second graph, or in the first where it was removed.
        type: its type there.
        details: the inputs that differ, in words; for a renamed node, its old id first.
    """

    kind: Kind
    node: str
    type: str
    details: tuple[str, ...] = ()

    def __str__(self) -> str:
        sign = {"added": "+", "removed": "-", "changed": "~", "renamed": "="}[self.kind]
        return f"{sign} {self.node} ({self.type})" + (f": {', '.join(self.details)}" if self.details else "")


@dataclass
class _Match:
    """Which node of the second graph each node of the first one is."""

    first: Mapping[str, Node]
    second: Mapping[str, Node]
    pairs: dict[str, str] = field(default_factory=dict)

    def by(self, name: Callable[[Mapping[str, Node]], Mapping[str, Hashable]], unique: bool = False) -> None:
        """Pair the remaining nodes of equal names, in order; with `unique`, only where each side has one node left."""
        taken = set(self.pairs.values())
        left = _grouped(name(self.first), [id for id in self.first if id not in self.pairs])
        right = _grouped(name(self.second), [id for id in self.second if id not in taken])
        for key, ids in left.items():
            others = right.get(key, [])
            if not unique or (len(ids), len(others)) == (1, 1):
                self.pairs.update(zip(ids, others, strict=False))


def _grouped(names: Mapping[str, Hashable], ids: list[str]) -> dict[Hashable, list[str]]:
    groups: dict[Hashable, list[str]] = {}
    for id in ids:
        groups.setdefault(names[id], []).append(id)
    return groups


@paused_collection()
def diff(first: Flat, second: Flat) -> list[Change]:
    """What changed from the first graph to the second, in the order of the second; removed nodes last."""
    match = _Match(first.nodes, second.nodes)
    match.by(lambda nodes: {id: (id, node.type) for id, node in nodes.items()})
    match.by(_ancestries)
    match.by(lambda nodes: {id: digest((node.type, _alone(node))) for id, node in nodes.items()}, unique=True)
    match.by(lambda nodes: {id: node.type for id, node in nodes.items()}, unique=True)
    return [*_changes(match)]


def _changes(match: _Match) -> Iterator[Change]:
    olds = {new: old for old, new in match.pairs.items()}
    for id, node in match.second.items():
        if id not in olds:
            yield Change("added", id, node.type)
            continue
        details = tuple(_details(match.first[olds[id]], node, match.pairs))
        if olds[id] != id:
            yield Change("renamed", id, node.type, (f"was `{olds[id]}`", *details))
        elif details:
            yield Change("changed", id, node.type, details)
    yield from (Change("removed", id, node.type) for id, node in match.first.items() if id not in match.pairs)


def _details(old: Node, new: Node, pairs: Mapping[str, str]) -> Iterator[str]:
    """The inputs that differ; a link to a node that was only renamed does not."""
    for name in dict.fromkeys([*old.inputs, *new.inputs]):
        before = spelled(_renamed(old.inputs[name], pairs)) if name in old.inputs else "default"
        after = spelled(new.inputs[name]) if name in new.inputs else "default"
        if before != after:
            yield f"`{name}` {before} -> {after}"


def _renamed(given: Given, pairs: Mapping[str, str]) -> Given:
    """An input with its links to the nodes of the other graph."""
    if isinstance(given, Link):
        return Link(pairs.get(given.node, given.node), given.output)
    return tuple(_renamed(item, pairs) for item in given) if isinstance(given, tuple) else given


def _alone(node: Node) -> dict[str, str]:
    """The literals of a node; of a link only that it is one."""
    return {name: "link" if any(links_of(given)) else spelled(given) for name, given in node.inputs.items()}


def _ancestries(nodes: Mapping[str, Node]) -> dict[str, Hashable]:
    """A digest of each node with everything above it. Nodes on or below a circle have their ids instead."""
    known: dict[str, Hashable] = {}
    for id in topological(sources(nodes)):
        above = [
            (name, link.output, known.get(link.node, link.node))
            for name, given in sorted(nodes[id].inputs.items())
            for link in links_of(given)
        ]
        known[id] = digest((nodes[id].type, _alone(nodes[id]), above))
    return {id: known.get(id, id) for id in nodes}
