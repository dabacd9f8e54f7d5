"""The passes of `weft.engine.checking.checker`: each takes a draft and gives one with more found out.

They run in the order of `PASSES`, since later ones need what earlier ones found: types before order and binding, calls
before files. What cannot be found is recorded in the draft; `weft.engine.checking.rules` reports it.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from weft.engine.checking.bind import bound, given_type
from weft.engine.checking.draft import Draft, Pass, Place
from weft.engine.errors import MAX_PROBLEMS, InputError, LiteralError
from weft.engine.graph.traversal import sources, topological
from weft.engine.keys import Digest
from weft.engine.spec.call import Call
from weft.engine.spec.node import Input
from weft.engine.spec.type_variables import specialised
from weft.engine.weights.resources import Resolved


def look_up_types(draft: Draft) -> Draft:
    """Find the type of each node."""
    nodes = draft.flat.nodes
    known = {
        name: type for name in dict.fromkeys(node.type for node in nodes.values()) if (type := draft.catalog.get(name))
    }
    return replace(draft, types={id: known[node.type] for id, node in nodes.items() if node.type in known})


def order_nodes(draft: Draft) -> Draft:
    """Put the nodes in topological order: in that of the graph where its links allow it."""
    order = topological(sources(draft.flat.nodes))
    return replace(draft, order=tuple(order)) if len(order) == len(draft.flat.nodes) else draft


def specialise_types(draft: Draft) -> Draft:
    """Replace the type variables of generic node types by the types that the graph gives."""
    generic = {id for id, type in draft.types.items() if type.generic}
    if not generic:
        return draft
    # One draft sees the types as they are specialised: a generic node may link to another one above it.
    found = replace(draft, types=(types := dict(draft.types)))
    for id in draft.order or [*types]:
        if id in generic:
            inputs = draft.flat.nodes[id].inputs
            given = {name: kind for name, item in inputs.items() if (kind := given_type(found, item))}
            types[id] = specialised(types[id], given)
    return found


def bind_inputs(draft: Draft) -> Draft:
    """Make the call of each node: literals in their declared types, links with their outputs named."""
    calls: dict[str, Call] = {}
    refused: dict[Place, LiteralError] = {}
    for id, node, type in draft.typed():
        inputs: dict[str, Any] = {}
        for name, one in type.inputs.items():
            try:
                inputs[name] = bound(draft, node.inputs[name], one.type) if name in node.inputs else one.default
            except LiteralError as fault:
                refused[id, name] = fault
        calls[id] = Call(id, type, inputs)
        if len(refused) > 10 * MAX_PROBLEMS:  # the items of a repeated subgraph have the same
            break
    return replace(draft, calls=calls, refused=refused)


def find_files(draft: Draft) -> Draft:
    """Find the files that inputs name, and read their headers; each name of a node type's input once."""
    known: dict[tuple[str, str, str], Resolved | InputError] = {}
    calls = dict(draft.calls)
    unusable: dict[Place, InputError] = {}
    for id, call in draft.calls.items():
        resources: dict[str, Resolved] = {}
        for one in call.type.file_inputs:
            text = call.inputs.get(one.name)
            if not isinstance(text, str):
                continue
            place = (call.type.name, one.name, text)
            found = known[place] = known.get(place) or _resolved(draft, one, text)
            if isinstance(found, InputError):
                unusable[id, one.name] = found
            else:
                resources[text] = found
        if resources:
            calls[id] = replace(call, resources=resources)
    return replace(draft, calls=calls, unusable=unusable) if known else draft


def _resolved(draft: Draft, one: Input, text: str) -> Resolved | InputError:
    assert one.resource is not None
    try:
        return one.resource.resolve(text, draft.places)
    except InputError as fault:
        known = draft.places.contents.get(text)
        return Resolved(text, Path(text), (), digest=Digest(known)) if known else fault
    except OSError as fault:
        message = f"`{text}` cannot be read: {fault.strerror or fault}"
        return InputError(message, "check the file and its permissions", "unreadable-resource")


def choose_wanted(draft: Draft) -> Draft:
    """Choose the nodes that must run: those of `only`, or every sink and every node behind an output."""
    nodes = draft.flat.nodes
    if draft.only:
        return replace(draft, wanted=tuple(dict.fromkeys(id for id in draft.only if id in nodes)))
    sinks = [id for id, type in draft.types.items() if type.sink]
    ends = [link.node for link in draft.flat.outputs.values()]
    return replace(draft, wanted=tuple(dict.fromkeys([*sinks, *ends])))


PASSES: tuple[Pass, ...] = (
    look_up_types,
    order_nodes,
    specialise_types,
    bind_inputs,
    find_files,
    choose_wanted,
)
"""Every pass, in order."""
