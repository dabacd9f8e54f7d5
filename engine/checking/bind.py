"""The inputs of a node bound: each a literal of the declared type, or a link to an output that fits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from weft.engine.checking.draft import Draft
from weft.engine.errors import LiteralError, listed, nearest
from weft.engine.graph.graph import Given, Link, links_of
from weft.engine.spec.call import Gather
from weft.engine.spec.node import Output
from weft.engine.spec.type_variables import literal_type
from weft.engine.types import SCALARS, ListOf, Type, list_item, shown


def bound(draft: Draft, given: Given, wanted: Type) -> Any:
    """A literal in the declared type, a link with its output named, or a `Gather` of these.

    Raises:
        LiteralError: where the type takes neither the literal nor the output.
    """
    if type(given) in SCALARS:
        return wanted.literal(given)
    if isinstance(given, Link):
        return _fitting(draft, given, wanted)
    if isinstance(given, tuple) and any(links_of(given)):
        item = list_item(wanted)
        if item is None:
            message = f"expected {wanted}, found {shown(given)}"
            raise LiteralError(message, _ONE_OF_LIST, "needs-one-output")
        return Gather(tuple(bound(draft, element, item) for element in given))
    return wanted.literal(_thawed(given))


_ONE_OF_LIST = (
    "link one output, without [ ]; of a list choose one (Choose), or repeat what takes one in a subgraph (map:NAME)"
)
"""The hint where a list leads to an input that takes one value."""


def _thawed(given: Given) -> Any:
    """A literal as nodes receive it: lists instead of tuples, dicts instead of read-only mappings."""
    if isinstance(given, Link):
        message = f"found a link to `{given}` inside a literal"
        hint = "link it as an input or a list's element; JoinLists makes one list of two"
        raise LiteralError(message, hint, "link-in-literal")
    if isinstance(given, Mapping):
        return {name: part if type(part) in SCALARS else _thawed(part) for name, part in given.items()}
    if isinstance(given, Sequence) and not isinstance(given, str):
        return [part if type(part) in SCALARS else _thawed(part) for part in given]
    return given


def _fitting(draft: Draft, link: Link, wanted: Type) -> Link:
    output = output_of(draft, link)
    if output is None:
        return link
    if not wanted.accepts(output.type):
        raise LiteralError(f"`{link}` gives {output.type}, expected {wanted}", _hint(draft, link, output.type, wanted))
    return Link(link.node, output.name)


def _hint(draft: Draft, link: Link, found: Type, wanted: Type) -> str:
    """What to do about an output that does not fit: about one where a list is wanted, and the other way round."""
    item, element = list_item(wanted), list_item(found)
    if item is not None and item.accepts(found):
        return f'write [ ] around it: [{{"link": "{link}"}}]'
    if element is not None and wanted.accepts(element):
        return _ONE_OF_LIST
    return f"link an output of type {wanted}" + _candidates(draft, wanted, link.node)


def given_type(draft: Draft, given: Given) -> Type | None:
    """The type of an input's value; None where it is unknown for a reason that is reported elsewhere."""
    if isinstance(given, tuple) and given:
        found = given_type(draft, given[0])
        return ListOf(found) if found else None
    if not isinstance(given, Link):
        return None if given is None else literal_type(given)
    try:
        output = output_of(draft, given)
    except LiteralError:
        return None
    return output.type if output else None


def output_of(draft: Draft, link: Link) -> Output | None:
    """The output that a link leads to; None where its node is unreadable or of an unknown type: reported there.

    Raises:
        LiteralError: where there is no such node or output, or none of several is named.
    """
    type = draft.types.get(link.node)
    if type is None:
        _raise_if_nowhere(draft, link)
        return None
    if link.output is None:
        if len(type.outputs) > 1:
            raise _ambiguous(link, tuple(type.outputs))
        return next(iter(type.outputs.values()))
    if link.output not in type.outputs:
        hint = nearest(link.output, type.outputs) or f"{type.name} gives: {listed(type.outputs)}"
        message = f"links to `{link}`, but {type.name} has no output `{link.output}`"
        raise LiteralError(message, hint, "unknown-output")
    return type.outputs[link.output]


def _raise_if_nowhere(draft: Draft, link: Link) -> None:
    """Raise `LiteralError` for a link to no node that makes something, where that is reported nowhere else."""
    if link.node in draft.flat.subgraphs:
        raise _no_subgraph_output(link, draft.flat.subgraphs[link.node])
    if link.node not in draft.flat.nodes and link.node not in draft.reported:
        hint = nearest(link.node, draft.flat.nodes) or f"the nodes are: {listed(draft.flat.nodes)}"
        raise LiteralError(f"links to `{link}`, but there is no node `{link.node}`", hint, "unknown-node")


def _no_subgraph_output(link: Link, outputs: tuple[str, ...]) -> LiteralError:
    """Why a link to a subgraph's node leads nowhere. Inlining replaced the links that lead to one of its outputs."""
    if not outputs:
        message = f"links to `{link}`, a subgraph without outputs"
        return LiteralError(message, "give the subgraph `outputs`", "no-outputs")
    if link.output is None:
        return _ambiguous(link, outputs)
    hint = nearest(link.output, outputs) or f'name one: {{"link": "{link.node}.{outputs[0]}"}}'
    message = f"links to `{link}`, but the subgraph has no output `{link.output}`"
    return LiteralError(message, hint, "unknown-output")


def _ambiguous(link: Link, outputs: tuple[str, ...]) -> LiteralError:
    message = f"links to `{link.node}`, which has several outputs: {listed(outputs)}"
    return LiteralError(message, f'name one: {{"link": "{link.node}.{outputs[0]}"}}', "ambiguous-output")


def _candidates(draft: Draft, wanted: Type, node: str) -> str:
    """Outputs of the same node that would fit, as words for a hint."""
    type = draft.types.get(node)
    fits = [f"{node}.{one.name}" for one in type.outputs.values() if wanted.accepts(one.type)] if type else []
    return f", such as `{fits[0]}`" if fits else ""


def swapped(draft: Draft, id: str, name: str) -> str:
    """The hint for two inputs of a node that have each other's links; empty where that is not the mistake."""
    type = draft.types[id]
    inputs = draft.flat.nodes[id].inputs
    found = {key: given_type(draft, item) for key, item in inputs.items() if isinstance(item, Link)}
    own = found.get(name)
    for other, kind in found.items():
        if other == name or other not in type.inputs or own is None or kind is None:
            continue
        if type.inputs[other].type.accepts(own) and type.inputs[name].type.accepts(kind):
            return f"`{name}` and `{other}` have each other's links: swap them"
    return ""
