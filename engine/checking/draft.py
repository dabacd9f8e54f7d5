"""The state of a check: a draft of the calls of a graph. Passes complete it, rules find problems in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from weft.engine.checking.inlining import Flat
from weft.engine.errors import InputError, LiteralError, Problem
from weft.engine.graph.graph import Node
from weft.engine.limits import Limits
from weft.engine.spec.call import Call
from weft.engine.spec.catalog import Catalog
from weft.engine.spec.node import NodeType
from weft.engine.weights.resources import SearchPaths

Place = tuple[str, str]
"""An input: the id of its node and its name."""


@dataclass(frozen=True)
class Draft:
    """A flat graph, and its calls as far as passes have found them.

    Args:
        only: the nodes to run instead of every sink and output; empty runs these.
        types: the type of each node that has a known one; generic types are specialised by a pass.
        order: the nodes in topological order; empty if there is a circle.
        calls: each node of a known type with its inputs bound; those in `refused` are left out.
        refused: the inputs that cannot be bound, with the reason.
        unusable: the inputs whose files cannot be used, with the reason.
        wanted: the nodes that must run.
    """

    flat: Flat
    catalog: Catalog
    places: SearchPaths
    limits: Limits
    only: tuple[str, ...] = ()
    types: Mapping[str, NodeType] = field(default_factory=dict)
    order: tuple[str, ...] = ()
    calls: Mapping[str, Call] = field(default_factory=dict)
    refused: Mapping[Place, LiteralError] = field(default_factory=dict)
    unusable: Mapping[Place, InputError] = field(default_factory=dict)
    wanted: tuple[str, ...] = ()
    reported: frozenset[str] = frozenset()

    def typed(self) -> Iterator[tuple[str, Node, NodeType]]:
        """Each node of a known type, with it."""
        for id, type in self.types.items():
            yield id, self.flat.nodes[id], type


Pass = Callable[[Draft], Draft]
"""Gives a draft with more found out; the draft that it takes stays as it was."""

Rule = Callable[[Draft], Iterable[Problem]]
"""Finds problems of a kind in a draft, without changing it."""
