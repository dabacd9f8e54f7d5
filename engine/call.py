"""A node of a checked graph: its type and its inputs, resolved once, so that nothing below looks at raw inputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from weft.engine.graph import Link
from weft.engine.node import NodeType
from weft.engine.resources import Resolved


@dataclass(frozen=True)
class Gather:
    """A list input that holds links: its elements, each a literal or a `Link`."""

    items: tuple[Any, ...]


@dataclass(frozen=True)
class Call:
    """A node with its inputs resolved: each a literal in its declared type, a `Link` or a `Gather`."""

    id: str
    type: NodeType
    inputs: Mapping[str, Any]
    resources: Mapping[str, Resolved] = field(default_factory=dict)

    def links(self) -> Iterator[tuple[str, Link]]:
        """Every link with the name of its input."""
        for name, given in self.inputs.items():
            if isinstance(given, Link):
                yield name, given
            elif isinstance(given, Gather):
                yield from ((name, item) for item in given.items if isinstance(item, Link))
