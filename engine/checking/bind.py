"""Rules of `weft.engine.checking.checker`: every input gets a literal of its type, or a link to an output that fits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from weft.engine.checking.draft import Draft
from weft.engine.errors import Problem, listed, nearest
from weft.engine.graph.graph import Link, Node, links_of
from weft.engine.spec.call import Call, Gather
from weft.engine.spec.node import NodeType, Output
from weft.engine.spec.type_variables import literal_type, specialised
from weft.engine.types import ListOf, LiteralError, NoNumber, Type, list_item, shown


def specialised_types(draft: Draft) -> Iterator[Problem]:
    """Node types over any one type are of the type that the graph gives."""
    generic = {id for id, type in draft.types.items() if type.generic}
    for id in draft.order or [*draft.types] if generic else ():
        if id in generic:
            inputs = draft.flat.nodes[id].inputs
            given = {name: found for name, item in inputs.items() if (found := _given_type(draft, item))}
            draft.types[id] = specialised(draft.types[id], given)
    yield from ()


def _given_type(draft: Draft, given: Any) -> Type | None:
    """The type of what an input is given; None where it cannot be told, which is reported elsewhere."""
    if isinstance(given, tuple) and given:
        found = _given_type(draft, given[0])
        return ListOf(found) if found else None
    if not isinstance(given, Link):
        return None if given is None else literal_type(given)
    try:
        output = _output(draft, given)
    except LiteralError:
        return None
    return output.type if output else None


def bound_inputs(draft: Draft) -> Iterator[Problem]:
    """Literals are of the declared type and in bounds, links lead to outputs of a fitting type. Makes the calls."""
    for id, node, type in draft.typed():
        inputs: dict[str, Any] = {}
        for name, one in type.inputs.items():
            if name not in node.inputs:
                inputs[name] = one.default
                continue
            try:
                inputs[name] = _bound(draft, node.inputs[name], one.type)
            except LiteralError as fault:
                yield Problem(str(fault), _swapped(draft, node, type, name) or fault.hint, id, name)
        draft.calls[id] = Call(id, type, inputs)


def _swapped(draft: Draft, node: Node, type: NodeType, name: str) -> str:
    """The hint for two inputs of a node that were given each other's links; empty where that is not the mistake."""
    found = {key: _given_type(draft, item) for key, item in node.inputs.items() if isinstance(item, Link)}
    own = found.get(name)
    for other, kind in found.items():
        if other == name or other not in type.inputs or own is None or kind is None:
            continue
        if type.inputs[other].type.accepts(own) and type.inputs[name].type.accepts(kind):
            return f"`{name}` and `{other}` have each other's links: swap them"
    return ""


def _bound(draft: Draft, given: Any, wanted: Type) -> Any:
    """A literal in the declared type, or a link that fits it."""
    if isinstance(given, Link):
        return _fitting(draft, given, wanted)
    if isinstance(given, tuple) and any(links_of(given)):
        item = list_item(wanted)
        if item is None:
            raise LiteralError(f"expected {wanted}, found {shown(given)}", "link one output, without [ ]")
        return Gather(tuple(_bound(draft, element, item) for element in given))
    return wanted.literal(_plain(given))


def _plain(given: Any) -> Any:
    """A literal as nodes get it: arrays are lists, objects are dicts."""
    if isinstance(given, (str, int, float)):
        return given
    if isinstance(given, tuple):
        return [_plain_part(part) for part in given]
    if isinstance(given, Mapping):
        return {name: _plain_part(part) for name, part in given.items()}
    return given


def _plain_part(part: Any) -> Any:
    if isinstance(part, Link):
        raise LiteralError(f"found a link to `{part}` inside a literal", "link it as an input or a list's element")
    if isinstance(part, NoNumber):
        raise LiteralError(f"found {shown(part)}", "give a number that 64 bits can hold")
    return _plain(part)


def _fitting(draft: Draft, link: Link, wanted: Type) -> Link:
    """The link with its output named; `LiteralError` unless `wanted` takes that output."""
    output = _output(draft, link)
    if output is None:
        return link
    if not wanted.accepts(output.type):
        raise LiteralError(
            f"`{link}` gives {output.type}, expected {wanted}",
            f"link an output of type {wanted}" + _candidates(draft, wanted, link.node),
        )
    return Link(link.node, output.name)


def _output(draft: Draft, link: Link) -> Output | None:
    """The output that a link leads to; None where its node cannot be read or is of no known type, reported there."""
    node = draft.flat.nodes.get(link.node)
    if link.node in draft.flat.subgraphs:
        raise _no_subgraph_output(link, draft.flat.subgraphs[link.node])
    if node is None and link.node in draft.reported:
        return None
    if node is None:
        hint = nearest(link.node, draft.flat.nodes) or f"the nodes are: {listed(draft.flat.nodes)}"
        raise LiteralError(f"links to `{link}`, but there is no node `{link.node}`", hint)
    type = draft.types.get(link.node)
    if type is None:
        return None
    if link.output is None:
        if len(type.outputs) > 1:
            raise LiteralError(
                f"links to `{link.node}`, which has several outputs: {listed(type.outputs)}",
                f'name one: {{"link": "{link.node}.{next(iter(type.outputs))}"}}',
            )
        return next(iter(type.outputs.values()))
    if link.output not in type.outputs:
        hint = nearest(link.output, type.outputs) or f"{type.name} gives: {listed(type.outputs)}"
        raise LiteralError(f"links to `{link}`, but {type.name} has no output `{link.output}`", hint)
    return type.outputs[link.output]


def _no_subgraph_output(link: Link, outputs: tuple[str, ...]) -> LiteralError:
    """Why a link to a subgraph leads nowhere; one that leads somewhere was replaced when the subgraph was."""
    if not outputs:
        return LiteralError(f"links to `{link}`, a subgraph without outputs", "give the subgraph `outputs`")
    example = f'name one: {{"link": "{link.node}.{outputs[0]}"}}'
    if link.output is None:
        return LiteralError(f"links to `{link}`, which has several outputs: {listed(outputs)}", example)
    hint = nearest(link.output, outputs) or example
    return LiteralError(f"links to `{link}`, but the subgraph has no output `{link.output}`", hint)


def _candidates(draft: Draft, wanted: Type, node: str) -> str:
    """Outputs of the same node that would fit."""
    type = draft.types.get(node)
    fits = [f"{node}.{one.name}" for one in type.outputs.values() if wanted.accepts(one.type)] if type else []
    return f", such as `{fits[0]}`" if fits else ""


def known_outputs(draft: Draft) -> Iterator[Problem]:
    """Every output of the graph leads somewhere."""
    for name, link in draft.flat.outputs.items():
        try:
            _output(draft, link)
        except LiteralError as fault:
            yield Problem(f"output `{name}` {fault}", fault.hint)
