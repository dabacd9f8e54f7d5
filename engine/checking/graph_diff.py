"""Two graphs compared node by node. Nodes of one id are the same node; others are matched by structure.

Subgraphs are compared inlined. Where ids differ, nodes are matched that come from equal ones all the way up, then those
that say the same themselves, then those whose type only one of each side has.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from weft.engine.checking.inlining import Flat
from weft.engine.gc import paused_collection
from weft.engine.graph.graph import Link, Node, links_of
from weft.engine.keys import digest
from weft.engine.types import NoNumber

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
        """Pair what is left on both sides under the same name, in order; with `unique`, only where one is left."""
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
        before = _spelt(old.inputs[name], pairs) if name in old.inputs else "default"
        after = _spelt(new.inputs[name], {}) if name in new.inputs else "default"
        if before != after:
            yield f"`{name}` {before} -> {after}"


def _spelt(given: Any, pairs: Mapping[str, str]) -> str:
    if isinstance(given, Link):
        return str(Link(pairs.get(given.node, given.node), given.output))
    if isinstance(given, tuple):
        return f"[{', '.join(_spelt(item, pairs) for item in given)}]"
    if isinstance(given, NoNumber):
        return given.text
    return repr(dict(given) if isinstance(given, Mapping) else given)


def _alone(node: Node) -> dict[str, str]:
    """What a node says itself."""
    return {name: "link" if any(links_of(given)) else _spelt(given, {}) for name, given in node.inputs.items()}


def _ancestries(nodes: Mapping[str, Node]) -> dict[str, Hashable]:
    """A digest for each node of what it says and of everything above it; nodes in a circle have their ids."""
    known: dict[str, Hashable] = {}
    for id in _in_order(nodes):
        above = [
            (name, link.output, known.get(link.node, link.node))
            for name, given in sorted(nodes[id].inputs.items())
            for link in links_of(given)
        ]
        known[id] = digest((nodes[id].type, _alone(nodes[id]), above))
    return {id: known.get(id, id) for id in nodes}


def _in_order(nodes: Mapping[str, Node]) -> Iterator[str]:
    """Nodes after those that they take from, as far as there is such an order."""
    from graphlib import CycleError, TopologicalSorter

    links = {
        id: [link.node for given in node.inputs.values() for link in links_of(given)] for id, node in nodes.items()
    }
    sorter = TopologicalSorter({id: [one for one in above if one in nodes] for id, above in links.items()})
    try:
        yield from sorter.static_order()
    except CycleError:
        return
