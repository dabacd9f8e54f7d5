"""The values of a node's widgets by name: a list in a file, whose order and length are those of the class's definition.

After some widgets stands an extra value: what an editor does with a number after a run, and the button of an upload.
Lists that are too short come from versions whose class had fewer inputs, so the last ones take their defaults. In lists
that are too long the rest belongs to widgets that only show something.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from weft.engine.interop.definitions import SEEDS, ClassDefinition, InputDefinition
from weft.engine.interop.editor_file import EditorNode

CHANGES = ("fixed", "increment", "decrement", "randomize", "increment-wrap")
"""What an editor can do with a number after a run."""


def widget_values(node: EditorNode, definition: ClassDefinition | None) -> dict[str, Any]:
    """The values of a node's widgets by name.

    Args:
        definition: of its class; where it is not known, or its inputs depend on a choice, the node's own list of inputs
            stands in for it.
    """
    if isinstance(node.values, Mapping):
        return _by_name(node.values, definition)
    if not node.values:
        return {}
    if definition is None:
        return _by_slots(node)
    if definition.dynamic:
        return _dynamic(node, definition)
    widgets = [one for one in definition.inputs if one.widget]
    dummies = [one for one in definition.inputs if one.widget or one.forced]
    tried = [_assigned(widgets, node.values, True), _assigned(dummies, node.values, True)]
    tried.append(_assigned(widgets, node.values, False))
    if all(slot.widget for slot in node.inputs if slot.name in definition.by_name) and node.inputs:
        tried.append(_by_slots(node))
    return max(tried, key=lambda found: _quality(found, definition))


def _quality(found: Mapping[str, Any], definition: ClassDefinition) -> tuple[bool, int]:
    """How well values fit their inputs: whether all are of their types, and how many are known choices."""
    pairs = [(definition.by_name[name], value) for name, value in found.items() if name in definition.by_name]
    return all(one.takes(value) for one, value in pairs), sum(not one.options or v in one.options for one, v in pairs)


def _by_name(values: Mapping[str, Any], definition: ClassDefinition | None) -> dict[str, Any]:
    known = definition.by_name if definition and not definition.dynamic else None
    return {name: value for name, value in values.items() if known is None or name in known}


def _assigned(widgets: Sequence[InputDefinition], values: Sequence[Any], extras: bool) -> dict[str, Any]:
    """The values by name, in the order of the definition.

    Args:
        extras: whether extra values follow widgets that have some; else only where one is seen to.
    """
    found: dict[str, Any] = {}
    at = 0
    for one in widgets:
        if at >= len(values):
            break
        if not one.forced:
            found[one.name] = values[at]
        at += 1
        if one.further and (extras or (at < len(values) and values[at] in _extra(one))):
            at += one.further
    return found


def _extra(one: InputDefinition) -> tuple[str, ...]:
    return CHANGES if one.type == "INT" else ("image", "audio", "video")


def _by_slots(node: EditorNode) -> dict[str, Any]:
    """The values by the node's own inputs, as far as these say that they are for widgets."""
    assert not isinstance(node.values, Mapping)
    rest = deque(node.values)
    found: dict[str, Any] = {}
    for slot in node.inputs:
        if slot.widget is None:
            continue
        if slot.type in ("INT", "FLOAT"):
            _drop_changes(rest)
        if rest and (value := rest.popleft()) is not None:
            found[slot.widget] = value
        if slot.widget in SEEDS:
            _drop_changes(rest)
    return found


def _drop_changes(rest: deque[Any]) -> None:
    """Drop what an editor does with a number after a run from the head of the values."""
    while rest and isinstance(rest[0], str) and rest[0] in CHANGES:
        rest.popleft()


def _dynamic(node: EditorNode, definition: ClassDefinition) -> dict[str, Any]:
    """The values of a node whose inputs depend on a choice: those of the chosen option follow it.

    Their names are on the node's inputs (`resize_type.width`) where these are listed; else they are counted.
    """
    assert not isinstance(node.values, Mapping)
    values = list(node.values)
    plain = [one for one in definition.inputs if one.widget or one.type == "COMFY_DYNAMICCOMBO_V3"]
    spare = len(values) - sum(1 + one.further for one in plain)
    found: dict[str, Any] = {}
    at = 0
    for one in plain:
        if at >= len(values):
            break
        found[one.name] = values[at]
        at += 1 + one.further
        if one.type == "COMFY_DYNAMICCOMBO_V3" and spare > 0:
            named = [slot.widget for slot in node.inputs if slot.widget and slot.widget.startswith(f"{one.name}.")]
            for number in range(spare):
                name = named[number] if number < len(named) else f"{one.name}.{number}"
                found[name] = values[at + number]
            at += spare
            spare = 0
    return found
