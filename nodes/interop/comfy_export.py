"""Graphs in ComfyUI's API format, where every node has a counterpart: an entry point of `weft.exports`.

Reading what was written gives the same graph again: ids become titles, except those that reading gives by itself.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from weft.engine.errors import GraphError, Problem
from weft.engine.graph.graph import Graph, Link, Node
from weft.engine.interop.definitions import ClassDefinition
from weft.engine.spec.node import NodeType
from weft.nodes.interop.class_entries import write_own_class
from weft.nodes.interop.comfy_classes import PlainClass
from weft.nodes.interop.comfyui import definitions
from weft.nodes.interop.entries import UnmappableError
from weft.nodes.interop.export_edit_prompts import edit_parts
from weft.nodes.interop.export_entries import ExportedNode, ExportEntry, Outputs, UnwrittenError
from weft.nodes.interop.export_guides import inner_guides
from weft.nodes.interop.export_pictures import EXPORTS
from weft.nodes.interop.export_sampling import sampler_parts
from weft.nodes.interop.export_video import seen_pictures

CODE = "unmapped-node"


def export_comfyui(graph: Graph, catalog: Mapping[str, NodeType]) -> dict[str, Any]:
    """The graph in ComfyUI's API format.

    Args:
        catalog: the node types, by name.

    Raises:
        GraphError: with a problem for each node that has no counterpart, or some input of it.
    """
    if graph.faults:
        raise GraphError(graph.faults)
    problems: list[Problem] = []
    draft = ExportDraft(_with_defaults(graph, problems), catalog)
    draft.inner |= _inner(draft.nodes)
    for id in _ordered(draft.nodes):
        if id not in draft.inner:
            problems += draft.write(id)
    file = str(graph.path) if graph.path else ""
    if problems:
        raise GraphError(one.within(file) for one in problems)
    return draft.tree


def _with_defaults(graph: Graph, problems: list[Problem]) -> dict[str, Node]:
    """The nodes with what the graph's parameters set; a problem for one that must be given."""
    found = dict(graph.nodes)
    for name, parameter in graph.parameters.items():
        for target in parameter.sets:
            id, _, input = target.partition(".")
            if id not in found or (input in found[id].inputs and not parameter.has_default):
                continue
            if not parameter.has_default:
                hint = f"give it: --set {name}=..."
                problems.append(Problem(f"the parameter `{name}` has no value", hint, id, input, code="missing-input"))
            else:
                inputs = {**found[id].inputs, input: parameter.default}
                found[id] = Node(found[id].type, inputs, found[id].notes)
    return found


def _links(node: Node) -> Iterator[Link]:
    for given in node.inputs.values():
        yield from (one for one in (given if isinstance(given, tuple) else (given,)) if isinstance(one, Link))


def _ordered(nodes: Mapping[str, Node]) -> list[str]:
    """Each node after those that it needs, in the order of the file otherwise."""
    found: dict[str, None] = {}
    for start in nodes:
        stack = [(start, iter([*_links(nodes[start])]))]
        on_way = {start}
        while stack:
            id, rest = stack[-1]
            link = next((one for one in rest if one.node in nodes and one.node not in found), None)
            if link is None or link.node in on_way:
                found[id] = None
                stack.pop()
            else:
                on_way.add(link.node)
                stack.append((link.node, iter([*_links(nodes[link.node])])))
    return [*found]


def _inner(nodes: Mapping[str, Node]) -> set[str]:
    """The nodes that are a part of another one there: LoRAs of what applies them, guides of samplers."""
    used = defaultdict[str, set[str]](set)
    for id, node in nodes.items():
        for link in _links(node):
            used[link.node].add(id)
    loras = ("ApplyLoRA", "ApplyLoRAToModel")
    found = {
        id
        for id, node in nodes.items()
        if node.type == "LoadLoRA" and used[id] and all(nodes[one].type in loras for one in used[id])
    }
    return found | {
        *sampler_parts(nodes, used),
        *inner_guides(nodes, used),
        *edit_parts(nodes, used),
        *seen_pictures(nodes, used),
    }


@dataclass
class ExportDraft:
    """The graph while it is written.

    Args:
        tree: the API format so far.
        outputs: what each output of a node is there, by node and name.
        inner: nodes that are written with another one.
    """

    nodes: Mapping[str, Node]
    catalog: Mapping[str, NodeType]
    tree: dict[str, Any] = field(default_factory=dict)
    outputs: dict[str, Outputs] = field(default_factory=dict)
    inner: set[str] = field(default_factory=set)

    def defaults(self, type: str) -> Mapping[str, Any]:
        """The defaults of a node type's inputs."""
        known = self.catalog.get(type)
        inputs = known.inputs.values() if known else ()
        return {one.name: one.default for one in inputs if not one.required}

    def write(self, id: str) -> Iterator[Problem]:
        """Write a node; a problem where it has no counterpart."""
        node = self.nodes[id]
        entry: ExportEntry | None = EXPORTS.get(node.type)
        known = self.catalog.get(node.type) if entry is None else None
        own = known.trait(PlainClass) if known else None
        if own is not None:
            entry = partial(write_own_class, own)
        if entry is None:
            yield Problem(f"{node.type} has no counterpart in ComfyUI", "leave it out", id, code=CODE)
            return
        one = ExportedNode(id, node, self.defaults(node.type), self)
        try:
            self.outputs[id] = entry(one)
            if left := one.unread():
                names = ", ".join(f"`{name}`" for name in left)
                raise UnmappableError(f"{names} of {node.type} cannot be written there")
        except UnwrittenError:
            return
        except UnmappableError as fault:
            yield Problem(str(fault), "change it, or leave it out", id, code=CODE)

    def give(self, id: str, outputs: Outputs) -> None:
        """Say what the outputs of a node are there which is written with another one."""
        self.outputs[id] = outputs

    def add(self, type: str, inputs: Mapping[str, Any], title: str = "") -> str:
        """Write a node of ComfyUI's; inputs that are None take their defaults."""
        id = str(len(self.tree) + 1)
        filled = {name: value for name, value in inputs.items() if value is not None}
        known = definitions().get(type)
        given = {**dict(_defaults(known, filled) if known else ()), **filled}
        meta = {"_meta": {"title": title}} if title else {}
        self.tree[id] = {"class_type": type, "inputs": given, **meta}
        return id


def _defaults(definition: ClassDefinition, given: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The defaults of widgets that are not given; the API format has none."""
    for one in definition.inputs:
        if one.widget and one.name not in given and (one.has_default or one.options):
            yield one.name, one.default if one.has_default else one.options[0]
