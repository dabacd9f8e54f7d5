"""A node of a checked graph: its type and its inputs, resolved once, so that nothing below looks at raw inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from weft.engine.graph.graph import Link
from weft.engine.spec.node import NodeType
from weft.engine.weights.resources import Resolved


@dataclass(frozen=True)
class Gather:
    """A list input that holds links: its elements, each a literal or a `Link`."""

    items: tuple[Any, ...]


@dataclass(frozen=True)
class Call:
    """A node with its inputs resolved: each a literal in its declared type, a `Link` or a `Gather`.

    Args:
        state: of what it depends on besides its inputs (`weft.engine.spec.changing`); empty for nearly all.
    """

    id: str
    type: NodeType
    inputs: Mapping[str, Any]
    resources: Mapping[str, Resolved] = field(default_factory=dict)
    state: str = ""

    @property
    def identity(self) -> tuple[Any, ...]:
        """The part of its keys that no input says."""
        return (*self.type.identity, self.state) if self.state else self.type.identity

    @cached_property
    def links(self) -> tuple[tuple[str, Link], ...]:
        """Every link with the name of its input."""
        found: list[tuple[str, Link]] = []
        for name, given in self.inputs.items():
            if type(given) is Link:
                found.append((name, given))
            elif type(given) is Gather:
                found += [(name, item) for item in given.items if type(item) is Link]
        return tuple(found)
