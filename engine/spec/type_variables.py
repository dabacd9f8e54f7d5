"""Node types over any one type: `Switch(condition, then: T, otherwise: T) -> T` chooses an Image where Images arrive.

`specialised` replaces each type variable by the type that the graph gives to it. An input whose value does not fit that
type is a problem like that of any other input.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from weft.engine.spec.node import NodeType
from weft.engine.types import Anything, Either, ListOf, Scalar, Type, Variable


def specialised(type: NodeType, given: Mapping[str, Type]) -> NodeType:
    """A generic node type with its variables replaced.

    Args:
        given: the type of what a graph gives to each input, as far as it is known.
    """
    bound: dict[str, Type] = {}
    for name, one in type.inputs.items():
        for variable, found in _variables(one.type, given.get(name)).items():
            if _depth(found) > MAX_DEPTH:
                found = Anything()
            known = bound.get(variable)
            bound[variable] = found if known is None or (found.accepts(known) and found != Anything()) else known
    inputs = {name: replace(one, type=_filled(one.type, bound)) for name, one in type.inputs.items()}
    outputs = {name: replace(one, type=_filled(one.type, bound)) for name, one in type.outputs.items()}
    return replace(type, inputs=inputs, outputs=outputs)


MAX_DEPTH = 100
"""How deep the types of lists in one another are followed; what lies deeper is a value of any type."""


def _depth(kind: Type) -> int:
    depth = 0
    while isinstance(kind, ListOf):
        depth, kind = depth + 1, kind.item
    return depth


def literal_type(given: object) -> Type:
    """The type of a literal as it is."""
    if isinstance(given, (bool, int, float, str)):
        return Scalar(given.__class__.__name__)
    if isinstance(given, (list, tuple)) and given:
        return ListOf(literal_type(given[0]))
    return Anything()


def _variables(wanted: Type, given: Type | None) -> Mapping[str, Type]:
    """The type that each variable of `wanted` must be for it to accept `given`."""
    if given is None:
        return {}
    if isinstance(wanted, Variable):
        return {wanted.name: given}
    if isinstance(wanted, ListOf) and isinstance(given, ListOf):
        return _variables(wanted.item, given.item)
    if isinstance(wanted, Either):
        return next((found for option in wanted.options if (found := _variables(option, given))), {})
    return {}


def _filled(wanted: Type, bound: Mapping[str, Type]) -> Type:
    if isinstance(wanted, Variable):
        found = bound.get(wanted.name, wanted.widest)
        return found if wanted.accepts(found) else wanted.widest
    if isinstance(wanted, ListOf):
        return ListOf(_filled(wanted.item, bound))
    if isinstance(wanted, Either):
        return Either(tuple(_filled(option, bound) for option in wanted.options))
    return wanted
