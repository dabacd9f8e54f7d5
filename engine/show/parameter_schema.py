"""The parameters of a graph as JSON Schema, for forms and for programs that call a graph as a function."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from weft.engine.checking.parameters import target_input
from weft.engine.graph.graph import Graph, Link, Parameter
from weft.engine.show.json_schema import any_of, literal_schemas
from weft.engine.spec.catalog import Catalog
from weft.engine.spec.node import REQUIRED, Input
from weft.engine.types import Scalar, Type
from weft.engine.weights.resources import InputFile

FILE = "x-weft-file"
"""The key of a parameter that names a file or a model: `suffixes` of files that are taken; empty for models."""


def parameters_schema(graph: Graph, catalog: Catalog) -> dict[str, Any]:
    """JSON Schema of an object with a value for each parameter; those that take links alone are left out."""
    properties: dict[str, Any] = {}
    required = []
    for name, parameter in graph.parameters.items():
        one = target_input(graph, name, catalog)
        schema = _schema(parameter, one)
        if schema is None:
            continue
        default = _default(graph, parameter, one)
        if default is REQUIRED:
            required.append(name)
        else:
            schema["default"] = default
        properties[name] = schema
    rest = {"required": required} if required else {}
    return {"type": "object", "properties": properties, **rest, "additionalProperties": False}


def _schema(parameter: Parameter, one: Input | None) -> dict[str, Any] | None:
    """What one parameter takes; None where only nodes make it."""
    kind: Type | None = one.type if one else None
    if parameter.type in ("int", "float", "bool", "str") and not isinstance(kind, Scalar):
        kind = Scalar(parameter.type)
    given = list(literal_schemas(kind)) if kind is not None else [{}]
    if not given:
        return None
    schema = _without_references(any_of(given))
    if parameter.choices:
        schema = {"enum": list(parameter.choices)}
    bounds = {"minimum": parameter.min, "maximum": parameter.max}
    schema |= {name: bound for name, bound in bounds.items() if bound is not None}
    if help := parameter.description or (one.help if one else ""):
        schema["description"] = help
    if one is not None and one.resource is not None:
        schema[FILE] = {"suffixes": list(one.resource.suffixes) if isinstance(one.resource, InputFile) else []}
    return schema


def _without_references(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema without what refers to the schema of graph files: an object as a literal is any object here."""
    if "anyOf" in schema:
        return {"anyOf": [{"type": "object"} if "$ref" in one else one for one in schema["anyOf"]]}
    return dict(schema)


def _default(graph: Graph, parameter: Parameter, one: Input | None) -> Any:
    """Its value where nobody sets one; `REQUIRED` where there is none."""
    if parameter.has_default:
        return _plain(parameter.default)
    node, _, name = (parameter.sets or ("",))[0].partition(".")
    inputs = graph.nodes[node].inputs if node in graph.nodes else {}
    found = inputs.get(name, one.default if one else REQUIRED)
    return REQUIRED if isinstance(found, Link) else _plain(found)


def _plain(item: Any) -> Any:
    """A literal as JSON has it."""
    if isinstance(item, (list, tuple)):
        return [_plain(one) for one in item]
    if isinstance(item, Mapping):
        return {key: _plain(one) for key, one in item.items()}
    return None if isinstance(item, float) and not math.isfinite(item) else item
