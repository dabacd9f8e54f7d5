"""Editor files in the intermediate form: subgraphs, reroutes, primitives, muted and bypassed nodes are resolved.

Each input is followed backwards to the output of a node that runs, to a value, or to nothing. Chains are followed in
loops, so that Python's stack does not limit their length.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from weft.engine.errors import GraphError, Problem
from weft.engine.interop.api_format import FAULTY, MAX_NODES
from weft.engine.interop.definitions import Definitions, fits
from weft.engine.interop.editor_file import INPUT_BOX, SET, EditorFile, EditorLink, EditorNode, Sheet
from weft.engine.interop.foreign_graph import ForeignGraph, ForeignLink, ForeignNode
from weft.engine.interop.widget_values import widget_values

NOTES = frozenset({"Note", "MarkdownNote"})
REROUTE, PRIMITIVE, GET = "Reroute", "PrimitiveNode", "GetNode"
VIRTUAL = NOTES | {REROUTE, PRIMITIVE, GET, SET}
"""Types of nodes that only an editor has."""

RUNS, MUTED, BYPASSED = 0, 2, 4

MAX_LEVELS = 50
"""How deep subgraphs may be nested."""

UNNAMED = "-1"
"""Stands in lists of promoted widgets for the subgraph itself."""


@dataclass(frozen=True)
class WidgetValue:
    """A value that an input is followed to."""

    value: Any


Origin = ForeignLink | WidgetValue | None
"""What an input is followed to."""


@dataclass(frozen=True)
class SheetPlace:
    """A sheet where it is used.

    Args:
        path: the ids of the instances that lead to it.
        outer: where its instance is; None for the file's own sheet.
        instance: the node whose subgraph it is.
        given: values of the instance's inputs, by name.
        within: values that the instance gives to widgets inside, by node, and there by name.
    """

    sheet: Sheet
    path: tuple[str, ...] = ()
    outer: SheetPlace | None = None
    instance: EditorNode | None = None
    given: Mapping[str, Any] = field(default_factory=dict)
    within: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def id(self, node: str) -> str:
        """The id of a node in the whole graph."""
        return ":".join((*self.path, node))


def resolved(file: EditorFile, definitions: Definitions) -> ForeignGraph:
    """The nodes of an editor file that run, with what their inputs come from.

    Raises:
        GraphError: where it is too large, or subgraphs contain themselves.
    """
    return _Resolution(file, definitions).graph()


class _Resolution:
    def __init__(self, file: EditorFile, definitions: Definitions) -> None:
        self.file = file
        self.definitions = definitions
        self.faults = list(file.faults)
        self.notes: list[str] = []
        self.places: dict[tuple[str, ...], SheetPlace] = {}
        self.origins: dict[tuple[tuple[str, ...], str], Origin] = {}

    def graph(self) -> ForeignGraph:
        running = list(self._running(SheetPlace(self.file.sheet)))
        nodes = {place.id(node.id): self._node(place, node) for place, node in running}
        return ForeignGraph(nodes, self.file.title, tuple(self.notes), tuple(self.faults), drafted=True)

    def _running(self, top: SheetPlace) -> Iterator[tuple[SheetPlace, EditorNode]]:
        """Every node that runs, with its place; a mode of an instance holds for all inside."""
        stack, count = [top], 0
        while stack:
            place = stack.pop()
            self.places[place.path] = place
            for node in place.sheet.nodes.values():
                count += 1
                if count > MAX_NODES:
                    message = f"more than {MAX_NODES:,} nodes, subgraphs included"
                    raise GraphError([Problem(message, "split the graph", code="too-many-nodes")])
                if node.type in NOTES:
                    self._note(node)
                if node.mode in (MUTED, BYPASSED) or node.type in VIRTUAL:
                    continue
                inner = self.file.subgraphs.get(node.type)
                if inner is None:
                    yield place, node
                else:
                    stack.append(self._inside(place, node, inner))

    def _note(self, node: EditorNode) -> None:
        values = node.values.values() if isinstance(node.values, Mapping) else node.values
        text = next((one for one in values if isinstance(one, str) and one.strip()), "")
        if text:
            self.notes.append(text.strip())

    def _inside(self, place: SheetPlace, node: EditorNode, sheet: Sheet) -> SheetPlace:
        """The place of a subgraph's instance, with the values that the instance gives."""
        path = (*place.path, node.id)
        if len(path) > MAX_LEVELS:
            message = f"subgraphs are nested deeper than {MAX_LEVELS} levels"
            raise GraphError([Problem(message, "a subgraph may not contain itself", place.id(node.id), code=FAULTY)])
        if known := self.places.get(path):
            return known
        promoted = node.properties.get("proxyWidgets")
        names = (
            [(str(one[0]), str(one[1])) for one in promoted if isinstance(one, list) and len(one) == 2]
            if (isinstance(promoted, list))
            else [(UNNAMED, slot.widget or slot.name) for slot in node.inputs if slot.widget is not None]
        )
        values = node.values if not isinstance(node.values, Mapping) else ()
        pairs = [(pair, value) for pair, value in zip(names, values, strict=False) if value is not None]
        given = {name: value for (inner, name), value in pairs if inner == UNNAMED}
        if isinstance(node.values, Mapping):
            given |= node.values
        within: dict[str, dict[str, Any]] = {}
        for (inner, name), value in pairs:
            if inner != UNNAMED:
                # What an outer instance gives to a widget that this one promotes comes before its own value.
                within.setdefault(inner, {})[name] = place.within.get(node.id, {}).get(name, value)
        given |= place.within.get(node.id, {})
        return SheetPlace(sheet, path, place, node, given, within)

    def _node(self, place: SheetPlace, node: EditorNode) -> ForeignNode:
        definition = self.definitions.get(node.type)
        inputs = widget_values(node, definition)
        known = definition.by_name.keys() if definition else inputs.keys()
        inputs |= {name: value for name, value in place.within.get(node.id, {}).items() if name in known}
        for slot in node.inputs:
            name = slot.widget or slot.name
            if slot.link is None:
                continue
            origin = self._origin(place, slot.link, name)
            if isinstance(origin, WidgetValue):
                inputs[name] = origin.value
            elif origin is not None:
                inputs[name] = origin
        return ForeignNode(node.type, inputs, node.title, node.package, node.files)

    def _origin(self, place: SheetPlace, link_id: str, name: str) -> Origin:
        """What a link comes from, remembered for all links on the way: many may share thousands of reroutes."""
        seen: set[tuple[tuple[str, ...], str]] = set()
        found: Origin = None
        while (key := (place.path, link_id)) not in self.origins:
            if key in seen:
                message = f"the links of `{name}` lead in a circle"
                self.faults.append(Problem(message, "cut one of them", place.id(""), code="cycle"))
                break
            seen.add(key)
            link = place.sheet.links.get(link_id)
            step = self._step(place, link) if link else None
            if not isinstance(step, tuple):
                found = step
                break
            place, link_id = step
        else:
            found = self.origins[key]
        self.origins |= dict.fromkeys(seen, found)
        return found

    def _step(self, place: SheetPlace, link: EditorLink) -> Origin | tuple[SheetPlace, str]:
        """One step backwards along a link: its origin, or the link that leads there."""
        if link.origin == INPUT_BOX:
            return self._outward(place, link)
        node = place.sheet.nodes.get(link.origin)
        if node is None or node.mode == MUTED:
            return None
        if node.mode == BYPASSED:
            return _followed(place, self._passed(node, link))
        if node.type == REROUTE:
            return _followed(place, next((slot.link for slot in node.inputs), None))
        if node.type == PRIMITIVE:
            values = [*node.values.values()] if isinstance(node.values, Mapping) else node.values
            return WidgetValue(values[0]) if values else None
        if node.type in (GET, SET):
            return self._by_variable(place, node)
        sheet = self.file.subgraphs.get(node.type)
        if sheet is None:
            return ForeignLink(place.id(node.id), link.origin_slot)
        inner = self._inside(place, node, sheet)
        inward = sheet.to_outputs.get(_name_of(node, link.origin_slot, sheet))
        return None if inward is None else self._step(inner, inward)

    def _outward(self, place: SheetPlace, link: EditorLink) -> Origin | tuple[SheetPlace, str]:
        """From an input of a subgraph to what its instance gives it."""
        if place.outer is None or place.instance is None or not 0 <= link.origin_slot < len(place.sheet.inputs):
            return None
        name = place.sheet.inputs[link.origin_slot]
        slot = next((one for one in place.instance.inputs if one.name == name), None)
        if slot is not None and slot.link is not None:
            return place.outer, slot.link
        # A widget that is promoted through several levels has its value in the outermost instance.
        outer = place.given.get(name)
        return None if outer is None else WidgetValue(outer)

    def _by_variable(self, place: SheetPlace, node: EditorNode) -> Origin | tuple[SheetPlace, str]:
        """From a node that reads a variable to what the one that sets it is given."""
        if node.type == SET:
            return _followed(place, next((slot.link for slot in node.inputs), None))
        above: SheetPlace | None = place
        while above is not None:
            if setter := above.sheet.setters.get(node.variable):
                return _followed(above, next((slot.link for slot in setter.inputs), None))
            above = above.outer
        return None

    def _passed(self, node: EditorNode, link: EditorLink) -> str | None:
        """The link to the input that a bypassed node passes on at an output."""
        kind = node.outputs[link.origin_slot].type if link.origin_slot < len(node.outputs) else link.type
        same = node.inputs[link.origin_slot] if 0 <= link.origin_slot < len(node.inputs) else None
        if same is not None and same.link is not None and fits(same.type, kind):
            return same.link
        compatible = (found for given, found in node.passing.items() if fits(given, kind))
        return node.passing.get(kind) or next(compatible, None)


def _followed(place: SheetPlace, link: str | None) -> tuple[SheetPlace, str] | None:
    return None if link is None else (place, link)


def _name_of(node: EditorNode, slot: int, sheet: Sheet) -> str:
    """The name of an output of a subgraph's instance: indices go stale in saved files."""
    if 0 <= slot < len(node.outputs) and node.outputs[slot].name in sheet.outputs:
        return node.outputs[slot].name
    return sheet.outputs[slot] if 0 <= slot < len(sheet.outputs) else ""
