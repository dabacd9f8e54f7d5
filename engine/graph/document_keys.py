"""The keys of the objects in a graph file: what each takes, and which must be there.

`weft.engine.graph.document` checks files by these tables, and `weft.engine.show.json_schema` makes the JSON Schema of
graph files of them. It is done without pydantic, whose import takes as long as that of the rest of the engine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple


@dataclass(frozen=True)
class Takes:
    """What a key takes.

    Args:
        expected: for messages: `a string`.
        fits: whether a value is one.
        schema: the same as JSON Schema.
        elements: for a list, what each element is.
        members: for an object with members by id, the table in `OBJECTS` of their keys.
    """

    expected: str
    fits: Callable[[Any], bool]
    schema: Mapping[str, Any] = field(default_factory=dict)
    elements: Takes | None = None
    members: str = ""

    @property
    def plain(self) -> bool:
        """Whether nothing inside of it is looked at."""
        return self.elements is None and not self.members


def _is(*types: type) -> Callable[[Any], bool]:
    """Whether a value is of one of some types; a bool is no int."""
    return lambda given: isinstance(given, types) and not isinstance(given, bool)


def _members(table: str) -> Takes:
    return Takes("an object", _is(dict), {"type": "object"}, members=table)


_TEXT = Takes("a string", _is(str), {"type": "string"})
_TEXT_OR_NULL = Takes("a string", _is(str, type(None)), {"anyOf": [{"type": "string"}, {"type": "null"}]})
_WHOLE = Takes("a whole number", _is(int), {"type": "integer"})
_NUMBER_OR_NULL = Takes(
    "a number",
    _is(int, float, type(None)),
    {"anyOf": [{"type": "number"}, {"type": "integer"}, {"type": "null"}]},
)
_ANYTHING = Takes("anything", lambda given: True)
_OBJECT = Takes("an object", _is(dict), {"additionalProperties": True, "type": "object"})
_LIST = Takes("an array", _is(list), {"items": {}, "type": "array"})
_TEXTS = Takes("an array of strings", _is(list), {"items": {"type": "string"}, "type": "array"}, elements=_TEXT)
_SOME_TEXTS = Takes(
    "an array with at least one string",
    lambda given: isinstance(given, list) and given != [],
    {"items": {"type": "string"}, "minItems": 1, "type": "array"},
    elements=_TEXT,
)


@dataclass(frozen=True)
class ObjectKeys:
    """The keys of one kind of object.

    Args:
        about: what the object is.
        required: those that must be there.
    """

    about: str
    keys: Mapping[str, Takes]
    required: tuple[str, ...]


_GRAPH = {
    "title": _TEXT,
    "description": _TEXT,
    "keywords": _TEXTS,
    "notes": _TEXT,
    "parameters": _members("ParameterModel"),
    "nodes": _members("NodeModel"),
    "outputs": _members("LinkModel"),
    "graphs": _members("GraphModel"),
    "layout": _OBJECT,
}
_PARAMETER = {
    "sets": _SOME_TEXTS,
    "type": _TEXT_OR_NULL,
    "default": _ANYTHING,
    "min": _NUMBER_OR_NULL,
    "max": _NUMBER_OR_NULL,
    "choices": _LIST,
    "description": _TEXT,
}

OBJECTS: Mapping[str, ObjectKeys] = {
    "GraphModel": ObjectKeys("A subgraph; a graph file is one with its format version.", _GRAPH, ("nodes",)),
    "LinkModel": ObjectKeys("A link to another node's output.", {"link": _TEXT}, ("link",)),
    "NodeModel": ObjectKeys(
        "A node: its type and its inputs.", {"type": _TEXT, "inputs": _OBJECT, "notes": _TEXT}, ("type",)
    ),
    "ParameterModel": ObjectKeys("An argument of the graph.", _PARAMETER, ("sets",)),
}
"""The objects inside of a graph file, by their names in its JSON Schema."""

DOCUMENT = ObjectKeys(
    "A graph file, version 1.", _GRAPH | {"$schema": _TEXT, "weft": _WHOLE, "carries": _OBJECT}, ("nodes", "weft")
)
"""The whole file."""


class KeyFault(NamedTuple):
    """Something wrong with a key.

    Args:
        code: `unknown-key`, `missing-key` or `malformed-value`.
        place: the keys that lead to it.
        found: what a malformed value is.
        known: the keys that there are where it is.
    """

    code: str
    place: tuple[str, ...]
    known: tuple[str, ...] = ()
    found: object = None
    expected: str = ""


def key_faults(item: Mapping[str, Any], of: ObjectKeys = DOCUMENT, place: tuple[str, ...] = ()) -> Iterator[KeyFault]:
    """Everything that is wrong with the keys of an object and of those in it, one fault for each place."""
    known = tuple(of.keys)
    for name, takes in of.keys.items():
        if name in item:
            yield from _value_faults(item[name], takes, (*place, name))
        elif name in of.required:
            yield KeyFault("missing-key", (*place, name), known)
    yield from (KeyFault("unknown-key", (*place, name), known) for name in item if name not in of.keys)


def _value_faults(given: Any, takes: Takes, place: tuple[str, ...]) -> Iterator[KeyFault]:
    if not takes.fits(given):
        yield KeyFault("malformed-value", place, found=given, expected=takes.expected)
    elif takes.elements is not None:
        wrong = [one for one in given if not takes.elements.fits(one)]
        if wrong:
            yield KeyFault("malformed-value", place, found=wrong[0], expected=takes.elements.expected)
    elif takes.members:
        keys = OBJECTS[takes.members]
        for name, member in given.items():
            if not isinstance(member, dict):
                yield KeyFault("malformed-value", (*place, name), found=member, expected="an object")
            elif not _is_plain(member, keys):
                yield from key_faults(member, keys, (*place, name))


def _is_plain(member: Mapping[str, Any], of: ObjectKeys) -> bool:
    """Whether an object certainly has no fault: most nodes of a large graph."""
    for name, given in member.items():
        takes = of.keys.get(name)
        if takes is None or not takes.plain or not takes.fits(given):
            return False
    return all(name in member for name in of.required)
