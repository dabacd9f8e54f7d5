"""The parts of graphs: frozen nodes, links between them, parameters and literals."""

from __future__ import annotations

import copyreg
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol, TypeAlias

ID = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*\Z")


class Composition(Protocol):
    """What composes a graph in Python; `weft.engine.graph.builder.Builder` is one."""

    @property
    def lineage(self) -> str:
        """That of the graph (`Graph.lineage`)."""


@dataclass(frozen=True)
class Link:
    """An output of another node; `output` is None for the only output of its node.

    Args:
        source: what composes the graph whose node it is; None in graphs, and where it was written by hand. In no
            comparison.
    """

    node: str
    output: str | None = None
    source: Composition | None = field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        return f"{self.node}.{self.output}" if self.output else self.node

    @classmethod
    def parse(cls, text: str) -> Link:
        """`node` or `node.output`."""
        node, _, output = text.partition(".")
        return cls(node, output or None)


Literal: TypeAlias = bool | int | float | str | Sequence["Literal"] | Mapping[str, "Literal"] | None
"""A literal of a graph file: a JSON value. Frozen ones hold tuples and read-only mappings."""

Given: TypeAlias = Literal | Link | Sequence["Given"]
"""The value of a node's input: a literal, a link, or a list of literals and links."""


@dataclass(frozen=True)
class Node:
    """A node of a graph: the name of its type, and the value of each input that is given.

    Args:
        made_at: the file and line of Python that made it, if it was composed in Python; in no file, key or comparison.
    """

    type: str
    inputs: Mapping[str, Given] = field(default_factory=dict)
    notes: str = ""
    made_at: tuple[str, int] | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Parameter:
    """An argument of a graph: the inputs it sets, and what it takes where that is narrower than its targets."""

    sets: tuple[str, ...]
    type: str | None = None
    default: Any = None
    has_default: bool = False
    min: float | None = None
    max: float | None = None
    choices: tuple[Any, ...] = ()
    description: str = ""


@dataclass(frozen=True)
class ParameterReference:
    """The value of a parameter, while a graph is composed.

    Args:
        lineage: that of the graph whose parameter it is.
    """

    parameter: str
    lineage: str


class ComposedType(Protocol):
    """What a graph knows of the node types it was composed with; `weft.engine.spec.node.NodeType` is one."""

    @property
    def name(self) -> str:
        """By which a graph file names it."""

    @property
    def outputs(self) -> Mapping[str, object]:
        """Its outputs by name, in order."""


def freeze(item: Any) -> Any:
    """A literal that nobody can change: lists become tuples, objects read-only mappings."""
    if isinstance(item, (list, tuple)):
        return tuple(map(freeze, item))
    if isinstance(item, Mapping):
        return MappingProxyType({name: freeze(element) for name, element in item.items()})
    return item


def read_only(mapping: Mapping[Any, Any]) -> MappingProxyType[Any, Any]:
    """A read-only view of a mapping."""
    return MappingProxyType(mapping)


# Without this, graphs and plans can be neither copied nor sent to other processes.
copyreg.pickle(MappingProxyType, lambda mapping: (read_only, (dict(mapping),)))


def is_importable(type: object) -> bool:
    """Whether a module has a node type under its own name, so that another process can import it."""
    found: object = sys.modules.get(getattr(type, "__module__", ""))
    for name in getattr(type, "__qualname__", "").split("."):
        found = getattr(found, name, None)
    return found is type


def links_of(given: Given) -> Iterator[Link]:
    """The links in an input: itself, or those in its list."""
    if isinstance(given, Link):
        yield given
    elif isinstance(given, tuple):
        for element in given:
            if type(element) is Link:
                yield element
