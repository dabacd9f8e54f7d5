"""The arguments of a node type's call in Python, bound to its inputs; a mistake is answered with the call to write."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, Protocol

from weft.engine.errors import listed, nearest
from weft.engine.graph.builder import current
from weft.engine.graph.graph import Graph, Link
from weft.engine.types import Type


class _Input(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def type(self) -> Type: ...


class _Callable(Protocol):
    """What binding must know of a node type; `weft.engine.spec.node.NodeType`, which imports this module, is one."""

    @property
    def name(self) -> str: ...
    @property
    def signature(self) -> inspect.Signature: ...
    @property
    def inputs(self) -> Mapping[str, _Input]: ...
    @property
    def required(self) -> Sequence[_Input]: ...


_POSITIONAL = inspect.Parameter.POSITIONAL_OR_KEYWORD


def bound(type: _Callable, arguments: Sequence[Any], named: Mapping[str, Any]) -> dict[str, Any]:
    """The given inputs by name, without defaults.

    Raises:
        TypeError: too many positional arguments, an unknown or repeated name, a missing input, or a value that is no
            single output: a graph, or all outputs of a node.
    """
    try:
        given = type.signature.bind(*arguments, **named).arguments
    except TypeError as fault:
        raise TypeError(f"{type.name}: {_mistake(type, arguments, named) or fault}") from None
    for name, item in given.items():
        if problem := _no_output(type, name, item):
            raise TypeError(f"{type.name}: `{name}`: {problem}")
    return given


def swapped(type: _Callable, given: Mapping[str, Any], name: str) -> str:
    """The input that takes what `name` was given, where that one was given what `name` takes; else empty.

    Args:
        given: real values by input, outside of a graph.
    """
    wanted = type.inputs[name].type
    for other, item in given.items():
        taken = type.inputs[other].type
        if other != name and any(taken.sockets()) and taken.admits(given[name]) and wanted.admits(item):
            return other
    return ""


def _mistake(type: _Callable, arguments: Sequence[Any], named: Mapping[str, Any]) -> str:
    """Why the arguments cannot be bound, with what to write instead."""
    positional = [one.name for one in type.signature.parameters.values() if one.kind is _POSITIONAL]
    if unknown := next((name for name in named if name not in type.inputs), ""):
        return f"there is no input `{unknown}` ({nearest(unknown, type.inputs) or f'it takes: {listed(type.inputs)}'})"
    if len(arguments) > len(positional):
        return _too_many(type, arguments, positional)
    if twice := next((name for name in positional[: len(arguments)] if name in named), ""):
        return f"`{twice}` is given twice, by position and by name (remove one)"
    given = {*positional[: len(arguments)], *named}
    missing = [f"`{one.name}` ({one.type})" for one in type.required if one.name not in given]
    hint = f"the call is {type.name}({', '.join(one.name for one in type.required)}, ...)"
    return f"missing a required argument: {listed(missing)} ({hint})" if missing else ""


def _too_many(type: _Callable, arguments: Sequence[Any], positional: Sequence[str]) -> str:
    first = next((name for name in type.inputs if name not in positional), "")
    found = f"{len(arguments)} arguments are given by position, {len(positional)} are taken so"
    found += f": {listed(positional)}" if positional else ""
    return f"{found} (give the others by name: {first}=...)" if first else f"{found} (remove the others)"


def _no_output(type: _Callable, name: str, item: Any) -> str:
    """Why a value cannot stand for one output, with what to give instead; empty where it can."""
    if isinstance(item, Graph):
        return "a graph is no value (call it, and give the output that the call returns)"
    if isinstance(getattr(item, "signature", None), inspect.Signature):
        return f"{item.__name__} is a node type (call it, and give the output that the call returns)"
    if not (outputs := _outputs(item)):
        return ""
    wanted = type.inputs[name].type
    fits = next((output for output, one in outputs.items() if _fits(wanted, one)), next(iter(outputs)))
    names = listed(f".{output}" for output in outputs)
    return f"{_owner(item, outputs)} has {len(outputs)} outputs: {names} (give one of them, such as `.{fits}`)"


def _outputs(item: Any) -> Mapping[str, Any]:
    """The outputs by name, where a value is all outputs of a node or of a subgraph."""
    if isinstance(item, SimpleNamespace):
        return vars(item)
    fields: Mapping[str, Any] = item._asdict() if isinstance(item, tuple) and hasattr(item, "_asdict") else {}
    return fields


def _owner(item: object, outputs: Mapping[str, Any]) -> str:
    first = next(iter(outputs.values()))
    return f"`{first.node}`" if isinstance(first, Link) else item.__class__.__name__


def _fits(wanted: Type, output: Any) -> bool:
    """Whether an input takes an output: a link of the graph that is being composed, or a real value."""
    if not isinstance(output, Link):
        return any(wanted.sockets()) and wanted.admits(output)
    builder = current()
    type = builder.types.get(builder.nodes[output.node].type) if builder and output.node in builder.nodes else None
    given = getattr(type.outputs.get(output.output), "type", None) if type and output.output else None
    return isinstance(given, Type) and wanted.accepts(given)
