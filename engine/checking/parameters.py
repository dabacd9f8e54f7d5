"""The parameters of a graph for people: types, bounds and defaults, taken from the inputs that they set."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from weft.engine.graph.graph import Graph, Link, Parameter
from weft.engine.spec.catalog import Catalog
from weft.engine.spec.node import REQUIRED, Input
from weft.engine.types import Choice, Either, ListOf, Scalar, Type, shown, spelled


@dataclass(frozen=True)
class ParameterSummary:
    """A parameter as it is shown to people.

    Args:
        type: in words; `any` where nothing says more.
        bounds: in words; empty where there are none.
        default: as a graph file spells it; empty where a value must be given.
    """

    name: str
    type: str
    bounds: str
    default: str
    description: str
    sets: tuple[str, ...]


def parameter_summaries(graph: Graph, catalog: Catalog) -> Iterator[ParameterSummary]:
    """Every parameter of a graph, in its order."""
    for name, parameter in graph.parameters.items():
        one = target_input(graph, name, catalog)
        kind = parameter.type or (str(one.type) if one else "any")
        yield ParameterSummary(
            name, kind, _bounds(parameter, one), _default(graph, parameter, one), _help(parameter, one), parameter.sets
        )


def target_input(graph: Graph, target: str, catalog: Catalog) -> Input | None:
    """The input that a parameter or `node.input` reaches, through subgraphs; None where that is not known."""
    scope: Graph | None = graph
    lists = 0
    while scope is not None:
        node, dot, name = target.partition(".")
        if not dot:
            sets = scope.parameters.get(target, Parameter(())).sets
            if not sets:
                return None
            target = sets[0]
            continue
        kind = scope.nodes[node].type if node in scope.nodes else ""
        if not kind.startswith(("graph:", "map:")):
            found = catalog[kind].inputs.get(name) if kind in catalog else None
            return _listed(found, lists) if found else None
        lists += kind.startswith("map:")
        scope, target = scope.graphs.get(kind.partition(":")[2]), name
    return None


def read_text(text: str, kind: Type | None) -> Any:
    """A text from a command line or a file of values: literal for inputs that take texts, else read as JSON.

    Where a text or a list of texts is taken, as by inputs of repeated subgraphs, a JSON array of texts is a list.
    """
    try:
        read = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if kind is not None and takes_text(kind) and not (isinstance(read, list) and kind.admits(read)):
        return text
    return read


def target_type(graph: Graph, target: str, catalog: Catalog) -> Type | None:
    """The type of an input or a parameter: the parameter's own, else that of what it sets; None if it is not known."""
    parameter = graph.parameters.get(target)
    if parameter and parameter.type in ("int", "float", "bool", "str"):
        return Scalar(parameter.type)
    one = target_input(graph, target, catalog)
    return one.type if one else None


def takes_text(kind: Type) -> bool:
    """Whether a type takes a text as it is."""
    if isinstance(kind, Either):
        return any(map(takes_text, kind.options))
    return isinstance(kind, Choice) or kind == Scalar("str")


def _listed(one: Input, lists: int) -> Input:
    """The input as it is seen from outside of so many repeated subgraphs: it takes one value, or a list of them."""
    for _ in range(lists):
        one = replace(one, type=Either((one.type, ListOf(one.type))))
    return one


def _bounds(parameter: Parameter, one: Input | None) -> str:
    """The parameter's own bounds and choices where it has some, else those of its first target."""
    if parameter.choices:
        return "one of " + ", ".join(map(shown, parameter.choices))
    kind = one.type if one else None
    number = _number(kind)
    low, high = (number.bounds.minimum, number.bounds.maximum) if number and number.bounds else (None, None)
    low = parameter.min if parameter.min is not None else low
    high = parameter.max if parameter.max is not None else high
    if low is None and high is None:
        return "one of " + ", ".join(kind.options) if isinstance(kind, Choice) else ""
    return f"{'...' if low is None else low} to {'...' if high is None else high}"


def _number(kind: Type | None) -> Scalar | None:
    """The bounded number in a type, where there is one."""
    if isinstance(kind, Scalar):
        return kind
    if isinstance(kind, ListOf):
        return _number(kind.item)
    inner = kind.options if isinstance(kind, Either) else ()
    return next((found for option in inner if (found := _number(option))), None)


def _default(graph: Graph, parameter: Parameter, one: Input | None) -> str:
    value: Any = parameter.default if parameter.has_default else _own_value(graph, parameter, one)
    return "" if value is REQUIRED or isinstance(value, Link) else spelled(value, 60)


def _own_value(graph: Graph, parameter: Parameter, one: Input | None) -> Any:
    """The value that the first target has without the parameter."""
    node, _, name = parameter.sets[0].partition(".")
    inputs = graph.nodes[node].inputs if node in graph.nodes else {}
    return inputs.get(name, one.default if one else REQUIRED)


def _help(parameter: Parameter, one: Input | None) -> str:
    return parameter.description or (one.help if one else "")
