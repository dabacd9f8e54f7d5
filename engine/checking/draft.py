"""What the rules of `weft.engine.checking.checker` work on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from weft.engine.checking.inlining import Flat
from weft.engine.errors import Problem
from weft.engine.graph.graph import Node
from weft.engine.limits import Limits
from weft.engine.spec.call import Call
from weft.engine.spec.catalog import Catalog
from weft.engine.spec.node import NodeType
from weft.engine.weights.resources import SearchPaths


@dataclass
class Draft:
    """What the rules work on: the flat graph, and the calls as far as they are known."""

    flat: Flat
    catalog: Catalog
    places: SearchPaths
    limits: Limits
    calls: dict[str, Call] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    reported: set[str] = field(default_factory=set)
    types: dict[str, NodeType] = field(default_factory=dict)

    def __post_init__(self) -> None:
        known = self.catalog.types
        self.types = {id: known[node.type] for id, node in self.flat.nodes.items() if node.type in known}
        for problem in self.flat.problems:
            self.reported |= {problem.node, f"{problem.node}.{problem.input}"}

    def typed(self) -> Iterator[tuple[str, Node, NodeType]]:
        for id, type in self.types.items():
            yield id, self.flat.nodes[id], type


Rule = Callable[[Draft], Iterable[Problem]]
