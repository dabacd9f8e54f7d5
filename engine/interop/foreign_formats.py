"""Which program's format a JSON object has, and the intermediate form of what it describes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from weft.engine.errors import Problem, nearest
from weft.engine.interop.api_format import is_api, read_api
from weft.engine.interop.definitions import ClassDefinition, Definitions, InputDefinition, fits
from weft.engine.interop.editor_file import is_editor_file, read_editor_file
from weft.engine.interop.editor_format import resolved
from weft.engine.interop.foreign_graph import ForeignGraph, ForeignLink, ForeignNode
from weft.engine.types import shown

WRAPPED = ("prompt", "output", "workflow")
"""Keys under which programs send a graph, or keep it: what is asked of ComfyUI's server, and what its editor gives."""


def is_foreign(tree: Mapping[str, Any]) -> bool:
    """Whether a JSON object is a graph in one of ComfyUI's formats, or has one as a program sends it."""
    return _is_graph(_unwrapped(tree))


def _is_graph(tree: Mapping[str, Any]) -> bool:
    return is_api(tree) or is_editor_file(tree)


def _unwrapped(tree: Mapping[str, Any]) -> Mapping[str, Any]:
    """The graph in an object that a program sends; else the object."""
    if _is_graph(tree):
        return tree
    inner = (one for name in WRAPPED if isinstance(one := tree.get(name), dict))
    return next((one for one in inner if _is_graph(one)), tree)


def read_foreign(tree: Mapping[str, Any], definitions: Definitions) -> ForeignGraph:
    """The graph that an object in one of the formats describes.

    Raises:
        GraphError: where it is too large, or subgraphs contain themselves.
    """
    tree = _unwrapped(tree)
    return read_api(tree) if is_api(tree) else resolved(read_editor_file(tree), definitions)


def needed(graph: ForeignGraph, definitions: Definitions) -> frozenset[str]:
    """The ids of the nodes that make what the graph gives: its sinks, and what these need.

    A node of an unknown class that no other one uses counts as a sink.
    """
    used = Counter(link.node for node in graph.nodes.values() for link in links_of(node))
    stack = [id for id, node in graph.nodes.items() if _is_sink(node, used[id], definitions)]
    found: set[str] = set()
    while stack:
        id = stack.pop()
        if id not in found and id in graph.nodes:
            found.add(id)
            stack += (link.node for link in links_of(graph.nodes[id]))
    return frozenset(found)


def _is_sink(node: ForeignNode, uses: int, definitions: Definitions) -> bool:
    known = definitions.get(node.type)
    return known.sink if known else not uses


def links_of(node: ForeignNode) -> Iterator[ForeignLink]:
    """The links among a node's inputs."""
    return (given for given in node.inputs.values() if isinstance(given, ForeignLink))


def problems_of(graph: ForeignGraph, definitions: Definitions, ids: frozenset[str]) -> Iterator[Problem]:
    """What is wrong with nodes of known classes: missing inputs, values and links of other types.

    Args:
        ids: of the nodes that are looked at.
    """
    for id, node in graph.nodes.items():
        definition = definitions.get(node.type) if id in ids else None
        if definition:
            yield from _missing(id, node, definition)
            for name, given in node.inputs.items():
                yield from _wrong(id, name, given, graph, definition, definitions)


def _missing(id: str, node: ForeignNode, definition: ClassDefinition) -> Iterator[Problem]:
    for one in definition.inputs:
        if one.name not in node.inputs and one.needed:
            message = f"{node.type} needs `{one.name}`, and nothing is linked there"
            hint = "link it in the program that the graph is from; a node that is muted gives nothing"
            yield Problem(message, hint, id, one.name, code="missing-input")


def _wrong(
    id: str, name: str, given: Any, graph: ForeignGraph, definition: ClassDefinition, definitions: Definitions
) -> Iterator[Problem]:
    one = definition.by_name.get(name)
    if one is None:
        if not definition.dynamic:
            hint = nearest(name, definition.by_name)
            yield Problem(f"{graph.nodes[id].type} has no input `{name}`", hint, id, name, code="unknown-input")
    elif isinstance(given, ForeignLink):
        yield from _wrong_link(id, one, given, graph, definitions)
    elif not one.takes(given):
        message = f"found {shown(given)}, expected a value of the type {one.type}"
        yield Problem(message, "give it in the program that the graph is from", id, name, code="wrong-type")


def _wrong_link(
    id: str, one: InputDefinition, link: ForeignLink, graph: ForeignGraph, definitions: Definitions
) -> Iterator[Problem]:
    origin = graph.nodes.get(link.node)
    if origin is None:
        message = f"a link leads to the node `{link.node}`, which is not there"
        yield Problem(message, "save the graph again", id, one.name, code="unknown-node")
        return
    definition = definitions.get(origin.type)
    if definition is None:
        return
    if not 0 <= link.slot < len(definition.outputs):
        message = f"{origin.type} has no output {link.slot}; it has {len(definition.outputs)}"
        yield Problem(message, "save the graph again", id, one.name, code="unknown-output")
    elif not fits(definition.outputs[link.slot], one.type):
        message = f"`{link.node}` gives {definition.outputs[link.slot]}, expected {one.type}"
        yield Problem(message, "link another output", id, one.name, code="wrong-type")
