"""ComfyUI's editor files (versions 0.4 and 1.0), read leniently into nodes, links and subgraphs.

Both versions are found mixed in one file: each element of a list is read in its own form.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from weft.engine.errors import GraphError, Problem
from weft.engine.interop.api_format import FAULTY
from weft.engine.interop.foreign_graph import ForeignFile
from weft.engine.types import shown

INPUT_BOX, OUTPUT_BOX = "-10", "-20"
"""The nodes of a subgraph from which its inputs come, and to which its outputs go."""


MAX_SLOTS = 256
"""Inputs of a node, and its outputs; further ones are left out."""

MAX_ALL_SLOTS = 50_000
"""Inputs and outputs of all nodes."""

MAX_LINKS = 50_000
"""Links of a file, those of its subgraphs included."""

MAX_VALUES = 1_000
"""Values of a node's widgets; further ones are left out."""

OWN_PACKAGE = "comfy-core"
"""What files call ComfyUI's own package."""

SET = "SetNode"
"""The type of nodes that give a variable its value."""


@dataclass(frozen=True)
class Slot:
    """An input or an output of a node.

    Args:
        link: that leads to an input; None where there is none.
        widget: the name of the widget that an input is for; None where it is for none.
    """

    name: str
    type: str
    link: str | None = None
    widget: str | None = None


@dataclass(frozen=True)
class EditorLink:
    """A link from an output of a node to an input of another."""

    origin: str
    origin_slot: int
    target: str
    target_slot: int
    type: str


@dataclass(frozen=True)
class EditorNode:
    """A node as the editor keeps it.

    Args:
        mode: 0 runs, 2 is muted, 4 is bypassed.
        values: of its widgets: a list in the order of the definition, or an object by name.
    """

    id: str
    type: str
    mode: int = 0
    inputs: tuple[Slot, ...] = ()
    outputs: tuple[Slot, ...] = ()
    values: Sequence[Any] | Mapping[str, Any] = ()
    title: str = ""
    properties: Mapping[str, Any] = field(default_factory=dict)

    @property
    def variable(self) -> str:
        """The variable that it sets or reads, where it does."""
        values = [*self.values.values()] if isinstance(self.values, Mapping) else self.values
        return str(values[0]) if values else ""

    @cached_property
    def passing(self) -> Mapping[str, str]:
        """The link of the first linked input of each type, by type."""
        found: dict[str, str] = {}
        for slot in self.inputs:
            if slot.link is not None:
                found.setdefault(slot.type, slot.link)
        return found

    @property
    def package(self) -> str:
        """The package that its class is in, as the file says it: `OWN_PACKAGE`, another one, or empty."""
        found = next((self.properties[key] for key in ("cnr_id", "aux_id") if self.properties.get(key)), "")
        return found if isinstance(found, str) else ""

    @property
    def files(self) -> tuple[ForeignFile, ...]:
        """Where the files that it names can be found."""
        given = self.properties.get("models")
        known = [one for one in given if isinstance(one, dict)] if isinstance(given, list) else []
        keys = ("name", "url", "directory", "hash", "hash_type")
        return tuple(ForeignFile(*(str(one.get(key) or "") for key in keys)) for one in known)


@dataclass(frozen=True)
class Sheet:
    """The nodes and links of a file, or of a subgraph in it.

    Args:
        inputs: of a subgraph, by index.
        outputs: of a subgraph, by index.
    """

    nodes: Mapping[str, EditorNode]
    links: Mapping[str, EditorLink]
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()

    @cached_property
    def to_outputs(self) -> Mapping[str, EditorLink]:
        """The link that leads to each output of the subgraph, by name."""
        inward = [one for one in self.links.values() if one.target == OUTPUT_BOX]
        named = [(self.outputs[one.target_slot], one) for one in inward if 0 <= one.target_slot < len(self.outputs)]
        return dict(reversed(named))

    @cached_property
    def setters(self) -> Mapping[str, EditorNode]:
        """The first node that sets each variable."""
        return {one.variable: one for one in reversed([*self.nodes.values()]) if one.type == SET}


@dataclass(frozen=True)
class EditorFile:
    """An editor file: its sheet, and those of its subgraphs by id."""

    sheet: Sheet
    subgraphs: Mapping[str, Sheet]
    title: str
    faults: tuple[Problem, ...]


def is_editor_file(tree: Mapping[str, Any]) -> bool:
    """Whether a JSON object is an editor file."""
    return isinstance(tree.get("nodes"), list) and ("links" in tree or "last_node_id" in tree or "version" in tree)


def read_editor_file(tree: Mapping[str, Any]) -> EditorFile:
    """What an object that `is_editor_file` holds.

    Raises:
        GraphError: where it is too large.
    """
    faults: list[Problem] = []
    definitions = tree.get("definitions")
    listed = definitions.get("subgraphs") if isinstance(definitions, dict) else None
    subgraphs = {
        str(one["id"]): _sheet(one, f"{one.get('name') or one['id']}:", faults)
        for one in (listed if isinstance(listed, list) else ())
        if isinstance(one, dict) and "id" in one
    }
    name = tree.get("name")
    sheet = _sheet(tree, "", faults)
    _check_size([sheet, *subgraphs.values()])
    return EditorFile(sheet, subgraphs, name if isinstance(name, str) else "", tuple(faults))


def _check_size(sheets: Sequence[Sheet]) -> None:
    links = sum(len(one.links) for one in sheets)
    slots = sum(len(node.inputs) + len(node.outputs) for one in sheets for node in one.nodes.values())
    for count, most, what in ((links, MAX_LINKS, "links"), (slots, MAX_ALL_SLOTS, "inputs and outputs of nodes")):
        if count > most:
            message = f"{count:,} {what}, more than {most:,}"
            raise GraphError([Problem(message, "split the graph", code="too-many-nodes")])


def _sheet(tree: Mapping[str, Any], scope: str, faults: list[Problem]) -> Sheet:
    nodes: dict[str, EditorNode] = {}
    for one in _nodes(tree.get("nodes"), scope, faults):
        if one.id in nodes:
            message = f"two nodes have the id {one.id} ({nodes[one.id].type} and {one.type})"
            faults.append(Problem(message, "save the graph again", scope.rstrip(":"), code=FAULTY))
        nodes.setdefault(one.id, one)
    links = dict(_links(tree.get("links"), scope, faults))
    return Sheet(nodes, links, tuple(_names(tree.get("inputs"))), tuple(_names(tree.get("outputs"))))


def _names(given: Any) -> Iterator[str]:
    for one in given if isinstance(given, list) else ():
        yield str(one.get("name", "")) if isinstance(one, dict) else ""


def _nodes(given: Any, scope: str, faults: list[Problem]) -> Iterator[EditorNode]:
    for one in given if isinstance(given, list) else ():
        if not isinstance(one, dict) or not isinstance(one.get("type"), str) or not _is_id(one.get("id")):
            message = f"expected a node with `id` and `type`, found {shown(one)}"
            faults.append(Problem(message, "save the graph again", scope.rstrip(":"), code=FAULTY))
            continue
        values = one.get("widgets_values")
        properties, mode, title = one.get("properties"), one.get("mode"), one.get("title")
        yield EditorNode(
            str(one["id"]),
            one["type"],
            mode if isinstance(mode, int) else 0,
            tuple(_slots(one.get("inputs"))),
            tuple(_slots(one.get("outputs"))),
            values[:MAX_VALUES] if isinstance(values, list) else values if isinstance(values, dict) else (),
            title if isinstance(title, str) else "",
            properties if isinstance(properties, dict) else {},
        )


def _slots(given: Any) -> Iterator[Slot]:
    for one in given[:MAX_SLOTS] if isinstance(given, list) else ():
        if not isinstance(one, dict):
            yield Slot("", "*")
            continue
        link, widget = one.get("link"), one.get("widget")
        named = widget.get("name") if isinstance(widget, dict) else None
        yield Slot(
            str(one.get("name", "")),
            _type(one.get("type")),
            str(link) if _is_id(link) else None,
            named if isinstance(named, str) else None,
        )


def _links(given: Any, scope: str, faults: list[Problem]) -> Iterator[tuple[str, EditorLink]]:
    listed = given.values() if isinstance(given, dict) else given if isinstance(given, list) else ()
    for one in listed:
        parts = _parts(one)
        if parts is None:
            message = f"expected a link, found {shown(one)}"
            faults.append(Problem(message, "save the graph again", scope.rstrip(":"), code=FAULTY))
            continue
        id, origin, origin_slot, target, target_slot, kind = parts
        yield id, EditorLink(origin, origin_slot, target, target_slot, kind)


def _parts(one: Any) -> tuple[str, str, int, str, int, str] | None:
    """The parts of a link in either form; None where it is none."""
    if isinstance(one, dict):
        keys = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
        one = [one.get(key) for key in keys]
    if not isinstance(one, list) or len(one) < 5:
        return None
    id, origin, origin_slot, target, target_slot, *rest = one
    slots = _whole(origin_slot), _whole(target_slot)
    if not (_is_id(id) and _is_id(origin) and _is_id(target)) or slots[0] is None or slots[1] is None:
        return None
    return str(id), str(origin), slots[0], str(target), slots[1], _type(rest[0] if rest else "*")


def _whole(given: Any) -> int | None:
    """An index, which may be a text."""
    if isinstance(given, int) and not isinstance(given, bool):
        return given
    return int(given) if isinstance(given, str) and given.isdigit() and len(given) < 10 else None


def _type(given: Any) -> str:
    return given if isinstance(given, str) and given else "*"


def _is_id(given: Any) -> bool:
    return isinstance(given, (int, str)) and not isinstance(given, bool)
