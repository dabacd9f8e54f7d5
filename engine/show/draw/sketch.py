"""A graph as boxes and wires, which the tree and the picture both draw. Faulty parts of a graph are left out.

Read next: `tree` (text), `placement`, `svg` and `raster` (pictures).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from weft.engine.checking.inlining import PREFIXES
from weft.engine.graph.graph import Graph, links_of
from weft.engine.spec.catalog import Catalog
from weft.engine.spec.node import NodeType
from weft.engine.types import spelled

SUBGRAPH = "subgraph"
"""The category of a subgraph's nodes."""


@dataclass(frozen=True)
class Box:
    """A node, or an output of the graph.

    Args:
        title: the node's id, or the output's name.
        type: the node type's name; empty for an output of the graph.
        category: the node type's; empty where it is not known.
        inputs: the inputs that are linked, in the type's order.
        literals: the other inputs that are given, and their values as text.
        outputs: the outputs that something may be linked to.
    """

    title: str
    type: str
    category: str = ""
    inputs: tuple[str, ...] = ()
    literals: tuple[tuple[str, str], ...] = ()
    outputs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Wire:
    """A link between two boxes, by their keys."""

    source: str
    output: str
    target: str
    input: str


@dataclass(frozen=True)
class Sketch:
    """A graph as boxes by key and the wires between them; `categories` in the order of their colours."""

    title: str
    description: str
    boxes: Mapping[str, Box]
    wires: tuple[Wire, ...]
    categories: tuple[str, ...]


def sketch(graph: Graph, catalog: Catalog) -> Sketch:
    """The boxes and wires of a graph; links that lead nowhere are left out."""
    types = catalog.including(graph).types
    given = dict(_given(graph, types))
    ends = {f"/{name}": {"output": link} for name, link in graph.outputs.items()}  # no node's id has a slash
    wires = [wire for key, inputs in (given | ends).items() for wire in _wires(graph, key, inputs)]
    asked = _asked(wires)
    boxes = {id: _box(graph, id, given[id], types, asked.get(id, ("",))) for id in graph.nodes}
    boxes |= {key: Box(key[1:], "", inputs=("output",)) for key in ends}
    wires = [replace(wire, output=wire.output or boxes[wire.source].outputs[0]) for wire in wires]
    categories = sorted({type.category for type in types.values()} | {SUBGRAPH})
    return Sketch(graph.title, graph.description, boxes, tuple(wires), tuple(categories))


@dataclass(frozen=True)
class _Set:
    """An input that a parameter of the graph sets; `value` is the parameter's default, else the node's own literal."""

    parameter: str
    value: Any
    has_value: bool


def _given(graph: Graph, types: Mapping[str, NodeType]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The inputs of each node, its own and those that parameters set, in the order of its type's inputs."""
    by_parameters = _set_by_parameters(graph)
    for id, node in graph.nodes.items():
        given = {**node.inputs, **by_parameters.get(id, {})}
        known = [name for name in types[node.type].inputs if name in given] if node.type in types else []
        yield id, {name: given[name] for name in dict.fromkeys([*known, *given])}


def _set_by_parameters(graph: Graph) -> dict[str, dict[str, Any]]:
    """The inputs that parameters set, by node and input; a default that is a link is an ordinary link."""
    found: dict[str, dict[str, Any]] = {}
    for name, parameter in graph.parameters.items():
        for target in parameter.sets:
            id, _, socket = target.partition(".")
            own = graph.nodes[id].inputs if id in graph.nodes else {}
            value = parameter.default if parameter.has_default else own.get(socket)
            has_value = parameter.has_default or socket in own
            found.setdefault(id, {})[socket] = value if any(links_of(value)) else _Set(name, value, has_value)
    return found


def _wires(graph: Graph, target: str, given: Mapping[str, Any]) -> Iterator[Wire]:
    for name, item in given.items():
        for link in links_of(item):
            if link.node in graph.nodes:
                yield Wire(link.node, link.output or "", target, name)


def _asked(wires: Iterable[Wire]) -> dict[str, tuple[str, ...]]:
    """The outputs that wires ask each node for."""
    found: dict[str, dict[str, None]] = {}
    for wire in wires:
        found.setdefault(wire.source, {})[wire.output] = None
    return {node: tuple(outputs) for node, outputs in found.items()}


def _box(graph: Graph, id: str, given: Mapping[str, Any], types: Mapping[str, NodeType], asked: tuple[str, ...]) -> Box:
    kind = graph.nodes[id].type
    type = types.get(kind)
    category = SUBGRAPH if kind.startswith(PREFIXES) else type.category if type else ""
    subgraph = graph.graphs.get(kind.removeprefix("graph:"))
    known = type.outputs if type else subgraph.outputs if subgraph else ()
    return Box(
        title=id,
        type=kind,
        category=category,
        inputs=tuple(name for name, item in given.items() if any(links_of(item))),
        literals=tuple((name, _shown(item)) for name, item in given.items() if not any(links_of(item))),
        outputs=tuple(dict.fromkeys([*known, *(name for name in asked if name or not known)])),
    )


def _shown(given: Any) -> str:
    """A literal as a graph file spells it, after the parameter that sets it."""
    if isinstance(given, _Set):
        return f"<{given.parameter}>" + (f" {spelled(given.value)}" if given.has_value else "")
    return spelled(given)
