"""The user's own node classes for ComfyUI in a graph that is imported: each is one node, of the type `comfy:NAME`."""

from __future__ import annotations

from typing import Any

from weft.engine.graph.builder import snake
from weft.engine.graph.graph import Link
from weft.nodes.interop.comfy_classes import PREFIX, SHOWN, PlainClass, RefusedClass
from weft.nodes.interop.entries import UnmappableError
from weft.nodes.interop.export_entries import ExportedNode, Outputs
from weft.nodes.interop.writing import Made, MappedNode, slug

PLAIN = (bool, int, float, str, list, dict)


def write_class(own: PlainClass | RefusedClass, one: MappedNode) -> tuple[Any, ...]:
    """Write a node of a class of the user's own.

    Raises:
        UnmappableError: where the class cannot be run, or is given what it cannot take.
    """
    if isinstance(own, RefusedClass):
        raise UnmappableError(own.reason)
    made = one.add(f"{PREFIX}{own.name}", **{name: _given(one, name) for name in own.inputs if one.has(name)})
    names = [*own.outputs]
    if own.is_output or not names:
        one.draft.shown[made.id] = made.output(SHOWN) if names else made.link
        one.draft.results.append(made.id)
    elif len(names) == 1:
        return (made.link,)
    return tuple(made.output(name) for name in names)


def _given(one: MappedNode, name: str) -> Any:
    """What an input is given."""
    found = one.words(name, one(name))
    if isinstance(found, (Link, Made)) or type(found) in PLAIN:
        return found
    kind = type(found).__name__.removesuffix("Part").lower()
    raise UnmappableError(f"`{name}` is given a {kind}, which classes of users are not given here")


def write_own_class(own: PlainClass, one: ExportedNode) -> Outputs:
    """A node of a class of the user's own as it is there."""
    defaults = {name: given["default"] for name, given in own.inputs.items() if given["widget"] and "default" in given}
    given = {name: one(name) for name in own.inputs}
    filled = {name: defaults.get(name) if item is None else item for name, item in given.items()}
    id = one.add(own.name, filled, slug(snake(own.name)) or "node")
    names = {name: [id, index] for index, name in enumerate(own.outputs)}
    return {"": [id, 0], **names} if len(names) == 1 and not own.is_output else names
