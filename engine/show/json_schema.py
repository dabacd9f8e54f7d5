"""The JSON Schema of graph files, and the catalogue of node types as data, for editors and other programs.

The frame comes from the tables that `weft.engine.graph.document` reads by; what each node type takes comes from its
spec. A node's `type` chooses its inputs by `if` and `then`, so that an editor completes them and underlines the one
that is wrong. What needs the whole graph, such as where a link leads, is left to `weft.engine.checking.checker`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from typing import Any, NotRequired, TypedDict

import orjson

from weft.engine.checking.inlining import PREFIXES, REPEATED
from weft.engine.graph.document_keys import DOCUMENT, OBJECTS, ObjectKeys, Takes
from weft.engine.graph.parts import ID
from weft.engine.spec.node import Input, NodeType
from weft.engine.types import Anything, Either, ListOf, Nothing, Type, Value

DIALECT = "https://json-schema.org/draft/2020-12/schema"

ID_PATTERN = ID.pattern.removesuffix(r"\Z")
LINK_PATTERN = rf"^{ID_PATTERN}(\.{ID_PATTERN})?$"
TARGET_PATTERN = rf"^{ID_PATTERN}\.{ID_PATTERN}$"
SUBGRAPH_PATTERN = f"^({'|'.join((*PREFIXES, REPEATED))}).+$"

LINK = {"$ref": "#/$defs/LinkModel"}

VALUE: Mapping[str, Any] = {
    "type": "object",
    "description": "An object as a literal.",
    "properties": {"value": {"description": "The literal."}},
    "required": ["value"],
    "additionalProperties": False,
}

DOCUMENTATION: Mapping[str, str] = {
    "title": "What the graph is, in a few words.",
    "description": "What the graph does, for the people who run it.",
    "keywords": "Words by which `weft graphs WORD` finds it: other names of what it does.",
    "notes": "Remarks for whoever edits the graph.",
    "parameters": "The graph's arguments: what the command line (--set NAME=VALUE) or an enclosing graph sets.",
    "nodes": "The nodes by id. Ids are yours to choose: letters, digits, _ and -, a letter or _ first.",
    "outputs": "What the graph returns in addition to the files that it writes: a name and a link for each.",
    "graphs": 'Named subgraphs; a node of type "graph:NAME" is replaced by one.',
    "layout": "Where an editor places the nodes. It changes no result.",
    "carries": "Texts of other programs that pictures of this graph carry next to it, by their names in a picture.",
    "$schema": "The schema that editors complete and check this file by.",
    "weft": "The version of the file format.",
}
"""What each key of a graph is for."""

PARAMETER_DOCUMENTATION: Mapping[str, str] = {
    "sets": "The inputs that it sets, each as NODE.INPUT.",
    "type": "What it takes; left out, what its inputs take.",
    "default": "Its value where nobody sets one.",
    "min": "The least number that it takes.",
    "max": "The greatest number that it takes.",
    "choices": "The values to choose from.",
    "description": "What it is, for the people who set it.",
}
"""What each key of a parameter is for."""


class InputRecord(TypedDict):
    """One input as data; `default` is absent where it is required, `schema` where it takes links only."""

    type: str
    default: NotRequired[Any]
    help: str
    schema: NotRequired[dict[str, Any]]


class NodeRecord(TypedDict):
    """A node type as data; `outputs` has each output's type by name."""

    name: str
    category: str
    summary: str
    description: str
    version: int
    lane: str
    sink: bool
    inputs: dict[str, InputRecord]
    outputs: dict[str, str]


def record(type: NodeType) -> NodeRecord:
    """A node type as data."""
    return {
        "name": type.name,
        "category": type.category,
        "summary": type.summary,
        "description": _paragraphs(type.description),
        "version": type.version,
        "lane": type.lane,
        "sink": type.sink,
        "inputs": {one.name: _input_record(one) for one in type.inputs.values()},
        "outputs": {one.name: str(one.type) for one in type.outputs.values()},
    }


def _input_record(one: Input) -> InputRecord:
    found: InputRecord = {"type": str(one.type), "help": one.help}
    if not one.required:
        found["default"] = one.default
    if literals := list(literal_schemas(one.type)):
        found["schema"] = any_of(literals)
    return found


def _paragraphs(text: str) -> str:
    """A docstring with each paragraph on one line."""
    return re.sub(r"(?<!\n)\n(?!\n)\s*", " ", text)


def nodes_document(types: Iterable[NodeType]) -> dict[str, Any]:
    """The catalogue as data: node types by name."""
    return {"nodes": {type.name: record(type) for type in sorted(types, key=lambda type: type.name)}}


def graph_schema(types: Iterable[NodeType]) -> dict[str, Any]:
    """JSON Schema (2020-12) of graph files with nodes of these types."""
    types = sorted(types, key=lambda type: type.name)
    document = _object(DOCUMENT)
    definitions: dict[str, Any] = {name: _object(one) for name, one in OBJECTS.items()}
    for graph in (document, definitions["GraphModel"]):
        _describe(graph, DOCUMENTATION)
        _complete_where_nothing_is_set_from_outside(graph)
    document["properties"]["weft"] |= {"const": 1}
    definitions["LinkModel"]["properties"]["link"]["pattern"] = LINK_PATTERN
    _narrow_parameter(definitions["ParameterModel"])
    _narrow_node(definitions["NodeModel"], types)
    definitions["CompleteNode"] = _complete_node(types)
    definitions["ValueModel"] = VALUE
    definitions |= {f"{type.name}.inputs": _inputs(type) for type in types}
    return {"$schema": DIALECT, "title": "Weft graph", **document, "$defs": definitions}


def _object(of: ObjectKeys) -> dict[str, Any]:
    """The schema of an object by its keys."""
    return {
        "additionalProperties": False,
        "description": of.about,
        "properties": {name: _taken(takes) for name, takes in of.keys.items()},
        "required": [*of.required],
        "type": "object",
    }


def _taken(takes: Takes) -> dict[str, Any]:
    """What a key takes; an object with members is closed to ids that do not match."""
    if not takes.members:
        return deepcopy(dict(takes.schema))
    members = {f"^{ID_PATTERN}$": {"$ref": f"#/$defs/{takes.members}"}}
    return {"patternProperties": members, **takes.schema, "additionalProperties": False}


def _describe(schema: dict[str, Any], documentation: Mapping[str, str]) -> None:
    for name, property in schema["properties"].items():
        property["description"] = documentation[name]


def _complete_where_nothing_is_set_from_outside(graph: dict[str, Any]) -> None:
    """Ask for required inputs in graphs without parameters: where there are some, these may give them."""
    graph["if"] = {"not": {"required": ["parameters"]}}
    graph["then"] = {"properties": {"nodes": {"additionalProperties": {"$ref": "#/$defs/CompleteNode"}}}}


def _narrow_parameter(parameter: dict[str, Any]) -> None:
    _describe(parameter, PARAMETER_DOCUMENTATION)
    parameter["properties"]["sets"]["items"]["pattern"] = TARGET_PATTERN
    kind = parameter["properties"]["type"]
    parameter["properties"]["type"] = {
        "description": kind["description"],
        "enum": ["int", "float", "str", "bool", None],
    }


def _narrow_node(node: dict[str, Any], types: Iterable[NodeType]) -> None:
    """Name the types that there are, and let each choose its inputs."""
    names = [{"const": type.name, "description": _paragraphs(type.description)} for type in types]
    subgraph = {
        "type": "string",
        "pattern": SUBGRAPH_PATTERN,
        "description": "A subgraph: graph:NAME of this file's `graphs`, file:PATH of another file, or map:NAME to "
        "repeat one for each item of the lists that it is given.",
    }
    properties = node["properties"]
    properties["type"] = {"description": "What the node does.", "anyOf": [*names, subgraph]}
    properties["inputs"]["description"] = 'A value for each input, or {"link": "NODE.OUTPUT"}.'
    properties["notes"]["description"] = "Remarks for whoever edits the graph."
    node["allOf"] = [
        _where_type_is(type, {"properties": {"inputs": {"$ref": f"#/$defs/{type.name}.inputs"}}}) for type in types
    ] + [_where_subgraph()]


def _where_type_is(type: NodeType, then: dict[str, Any]) -> dict[str, Any]:
    return {"if": {"properties": {"type": {"const": type.name}}, "required": ["type"]}, "then": then}


def _where_subgraph() -> dict[str, Any]:
    """A subgraph's inputs are its parameters, which are named elsewhere: any literal or link."""
    chosen = {"properties": {"type": {"pattern": SUBGRAPH_PATTERN}}, "required": ["type"]}
    inputs = {"additionalProperties": any_of([*literal_schemas(Anything()), LINK])}
    return {"if": chosen, "then": {"properties": {"inputs": inputs}}}


def _complete_node(types: Iterable[NodeType]) -> dict[str, Any]:
    """What a node must give where no parameter can give it instead."""
    rules = []
    for type in types:
        if required := [one.name for one in type.inputs.values() if one.required]:
            then = {"required": ["inputs"], "properties": {"inputs": {"required": required}}}
            rules.append(_where_type_is(type, then))
    return {"description": "A node with every input that its type requires.", "allOf": rules} if rules else {}


def _inputs(type: NodeType) -> dict[str, Any]:
    return {
        "type": "object",
        "description": f"The inputs of {type.name}.",
        "properties": {one.name: _input(one) for one in type.inputs.values()},
        "additionalProperties": False,
    }


def _input(one: Input) -> dict[str, Any]:
    default = {} if one.required else {"default": one.default}
    described = f"{one.help}\n\n{one.type}".strip()
    return {"description": described, **default, **any_of([*_given(one.type), LINK])}


def any_of(options: list[dict[str, Any]]) -> dict[str, Any]:
    """The schema of what is one of some schemas."""
    return options[0] if len(options) == 1 else {"anyOf": options}


def _given(type: Type) -> Iterator[dict[str, Any]]:
    """What an input takes in place of a link; a list's elements may be links."""
    for option in _options(type):
        if isinstance(option, ListOf):
            yield {"type": "array", "items": any_of([*_given(option.item), LINK])}
        else:
            yield from literal_schemas(option)


def literal_schemas(type: Type) -> Iterator[dict[str, Any]]:
    """The literals that a type takes; none for values that only nodes make."""
    for option in _options(type):
        if isinstance(option, Anything):
            yield {"type": ["null", "boolean", "number", "string", "array"]}
            yield {"$ref": "#/$defs/ValueModel"}
        elif isinstance(option, ListOf):
            if items := list(literal_schemas(option.item)):
                yield {"type": "array", "items": any_of(items)}
        elif not isinstance(option, Value):
            yield {name: _whole(bound) for name, bound in option.schema().items()}


def _whole(bound: Any) -> Any:
    """A bound that is a whole number as an int: `Annotated` holds equal ranges as one, and 1 equals 1.0."""
    return int(bound) if isinstance(bound, float) and bound.is_integer() else bound


def _options(type: Type) -> tuple[Type, ...]:
    """What a union is of, with null last; any other type by itself."""
    if not isinstance(type, Either):
        return (type,)
    return tuple(sorted(type.options, key=lambda option: option == Nothing()))


def written(document: Mapping[str, Any]) -> bytes:
    """A document as the bytes of its file: the same for the same document."""
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
