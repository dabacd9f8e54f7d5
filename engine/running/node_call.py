"""One call of a node: linked values in the places of its inputs, and its outputs held to their declared types."""

from __future__ import annotations

import numbers
import os
from collections.abc import Callable, Mapping
from typing import Any

from weft.engine.errors import InputError, LiteralError, listed
from weft.engine.extent import BOUNDED, check_extent
from weft.engine.graph.graph import Link
from weft.engine.limits import Limits
from weft.engine.spec.call import Call, Gather
from weft.engine.spec.call_arguments import swapped
from weft.engine.spec.context import Context
from weft.engine.spec.node import NodeType, Output
from weft.engine.types import Type, check_values, shown


def called(call: Call, arrived: Mapping[Link, Any], context: Callable[[], Context], limits: Limits) -> dict[str, Any]:
    """The outputs of a call, by name.

    Args:
        arrived: the value behind each of its links.
        context: makes its context, where it asks for one.
        limits: that all values together which it takes, and each that it gives, are held to.

    Raises:
        InputError: where a value does not fit its input, or a value of an output cannot be used.
        TypeError: where an output is not of its type.
    """
    values = given_values(call, arrived, limits)
    return declared_outputs(call.type, call.type.call(values, context() if call.type.context_name else None), limits)


def given_values(call: Call, arrived: Mapping[Link, Any], limits: Limits) -> dict[str, Any]:
    """The values of a call's inputs. Arguments and errors are those of `called`."""
    values = _values(call, arrived)
    if arrived:
        _check_arrived(call, values, limits)
    return values


def declared_outputs(type: NodeType, outputs: Mapping[str, Any], limits: Limits) -> dict[str, Any]:
    """What a call gave, in the declared types of its outputs. Errors are those of `called`."""
    return {name: _given(type.outputs[name], item, limits) for name, item in outputs.items()}


def _check_arrived(call: Call, values: Mapping[str, Any], limits: Limits) -> None:
    """Hold values that came over links to the limits, and to the node type's own check, which saw literals alone."""
    if measured := [item for item in values.values() if type(item) not in BOUNDED]:
        _within(limits, measured, "the inputs")
    if call.type.check is None or not call.links:
        return
    linked = {name for name, given in call.inputs.items() if isinstance(given, (Link, Gather))}
    sockets = {name for name in linked if any(call.type.inputs[name].type.sockets())}
    literals = {name: item for name, item in values.items() if name not in sockets}
    for found in call.type.check(literals, limits):
        raise InputError(f"input `{found.input}`: {found.message}", found.hint, found.code)


def _within(limits: Limits, item: object, what: str) -> None:
    try:
        check_extent(item, limits)
    except InputError as fault:
        raise InputError(f"{what}: {fault.message}", fault.hint, fault.code) from None


def _given(output: Output, item: Any, limits: Limits) -> Any:
    """A value of an output in its declared type, within the limits; None where the call does not give it."""
    if item is None and not output.always:
        return None
    made = _declared(output.type, item, output.name)
    if type(made) not in BOUNDED:
        _within(limits, made, f"output `{output.name}`")
    return made


def _declared(wanted: Type, item: Any, name: str) -> Any:
    """An output in its declared type.

    Raises:
        InputError: where a value in it cannot be used.
        TypeError: where it is not of that type.
    """
    made = item
    if not wanted.admits(item) and not wanted.admits(made := wanted.converted(item)):
        raise TypeError(f"output `{name}` is {shown(item)}, its annotation says {wanted}")
    try:
        check_values(made)
    except InputError as fault:
        raise InputError(f"output `{name}`: {fault.message}", fault.hint, fault.code) from None
    return made


def _values(call: Call, arrived: Mapping[Link, Any]) -> dict[str, Any]:
    """The inputs of a call, linked values in their places."""
    values = dict(call.inputs)
    for name, given in call.inputs.items():
        if type(given) is Link:
            values[name] = _arrived(call.type.inputs[name].type, arrived[given], name)
        elif type(given) is Gather:
            gathered = [arrived[item] if isinstance(item, Link) else item for item in given.items]
            values[name] = _arrived(call.type.inputs[name].type, gathered, name)
    return values


def _arrived(wanted: Type, item: Any, name: str) -> Any:
    """A linked value in the declared type: an int becomes a float where one is wanted, bounds and choices hold."""
    if item is None and not wanted.admits(None):
        message = f"input `{name}`: the node that it is linked to does not give this output, expected {wanted}"
        raise InputError(message, "link it to an output that is given", "output-not-given")
    if not isinstance(item, (int, float)) and any(wanted.sockets()):
        return item
    try:
        return wanted.literal(item)
    except LiteralError as fault:
        raise InputError(f"input `{name}`: {fault}, which came over a link", fault.hint, fault.code) from None


def admitted(type: NodeType, given: Mapping[str, Any], catalog: Mapping[str, NodeType]) -> dict[str, Any]:
    """Values that a node type is called with at once, in the types of its inputs.

    Args:
        catalog: the node types that hints name.

    Raises:
        InputError: where a value is not of its input's type.
    """
    return {name: _admitted(type, name, given, catalog) for name in given}


def _admitted(type: NodeType, name: str, given: Mapping[str, Any], catalog: Mapping[str, NodeType]) -> Any:
    """The value of an input, where its type takes it."""
    wanted, item = type.inputs[name].type, given[name]
    if any(wanted.sockets()) and wanted.admits(item) and not isinstance(item, (int, float)):
        try:
            check_values(item)
        except InputError as fault:
            raise InputError(f"{type.name}: `{name}`: {fault.message}", fault.hint, fault.code) from None
        return item
    try:
        return wanted.literal(item)
    except LiteralError as fault:
        other = swapped(type, given, name)
        hint = f"`{name}` and `{other}` have each other's values: swap them" if other else ""
        hint = hint or _python_hint(wanted, name, item, catalog) or fault.hint
        raise InputError(f"{type.name}: `{name}`: {fault}", hint, fault.code) from None


def _python_hint(wanted: Type, name: str, item: object, catalog: Mapping[str, NodeType]) -> str:
    """What to pass instead of a value, in Python; empty where the hint for graph files holds."""
    if any(wanted.sockets()) and not wanted.admits(item):
        return f"pass the output of {listed(makers, 3)}" if (makers := _makers(wanted, catalog)) else ""
    if isinstance(item, os.PathLike) and wanted.admits(""):
        return f"pass str({name})"
    for number, kind in ((int, numbers.Integral), (float, numbers.Real)):
        if wanted.admits(number()) and isinstance(item, kind) and not isinstance(item, (bool, int, float)):
            return f"convert it: {number.__name__}({name})"
    return ""


def _makers(wanted: Type, catalog: Mapping[str, NodeType]) -> list[str]:
    """The node types that give a value of a type and are given none."""

    def gives(type: NodeType) -> bool:
        return any(wanted.accepts(output.type) for output in type.outputs.values())

    def takes(type: NodeType) -> bool:
        return any(any(one.type.sockets()) and one.type.accepts(wanted) for one in type.inputs.values())

    return [name for name, type in catalog.items() if gives(type) and not takes(type)]
