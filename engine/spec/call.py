"""A node of a checked graph: its type and its inputs, resolved once, so that nothing below looks at raw inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
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
        links: every link with the name of its input.
    """

    id: str
    type: NodeType
    inputs: Mapping[str, Any]
    resources: Mapping[str, Resolved] = field(default_factory=dict)
    state: str = ""
    links: tuple[tuple[str, Link], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "links", tuple(_links(self.inputs)))

    @property
    def identity(self) -> tuple[Any, ...]:
        """The part of its keys that no input says."""
        return (*self.type.identity, self.state) if self.state else self.type.identity


def _links(inputs: Mapping[str, Any]) -> list[tuple[str, Link]]:
    found: list[tuple[str, Link]] = []
    for name, given in inputs.items():
        if type(given) is Link:
            found.append((name, given))
        elif type(given) is Gather:
            found += [(name, item) for item in given.items if type(item) is Link]
    return found
