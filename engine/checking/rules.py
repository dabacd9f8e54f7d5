"""The rules that `weft.engine.checking.checker` holds a graph to; each is a small function from a draft to problems."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

from weft.engine.checking.bind import bound_inputs, known_outputs, specialised_types
from weft.engine.checking.draft import Draft, Rule
from weft.engine.checking.inlining import Flat
from weft.engine.checking.unification import clashes
from weft.engine.errors import InputError, Problem, listed, nearest
from weft.engine.graph.graph import Link, Node, links_of
from weft.engine.keys import Digest
from weft.engine.spec.call import Call
from weft.engine.spec.node import Input, NodeProblem
from weft.engine.spec.upstream import Upstream
from weft.engine.weights.resources import Resolved


def known_types(draft: Draft) -> Iterator[Problem]:
    """Every node's type is installed."""
    for id, node in draft.flat.nodes.items():
        if id not in draft.types:
            yield Problem(f"unknown node type `{node.type}`", draft.catalog.suggest(node.type), id)


def known_inputs(draft: Draft) -> Iterator[Problem]:
    """Every input that is given exists, and every required one is given."""
    for id, node, type in draft.typed():
        for name in node.inputs:
            if name not in type.inputs:
                hint = nearest(name, type.inputs) or f"{type.name} takes: {listed(type.inputs)}"
                yield Problem(f"{type.name} has no input `{name}`", hint, id, name)
        for name, one in type.inputs.items():
            if one.required and name not in node.inputs and f"{id}.{name}" not in draft.reported:
                yield Problem(f"the required input `{name}` ({one.type}) is missing", _missing_hint(one), id, name)


def _missing_hint(one: Input) -> str:
    if any(one.type.sockets()):
        return f'link it: "{one.name}": {{"link": "NODE"}} with an output of type {one.type}'
    return f'give it: "{one.name}": a value of type {one.type}'


def known_targets(draft: Draft) -> Iterator[Problem]:
    """Every input that a parameter sets exists, whether or not the parameter has a value."""
    for target in draft.flat.targets:
        node = draft.flat.nodes.get(target.node)
        type = draft.types.get(target.node)
        if node and type and target.input not in type.inputs and target.input not in node.inputs:
            message = f"parameter `{target.parameter}` sets `{target.input}`: {type.name} has no such input"
            hint = nearest(target.input, type.inputs) or f"{type.name} takes: {listed(type.inputs)}"
            yield Problem(message, hint, target.node, target.input)


def no_cycles(draft: Draft) -> Iterator[Problem]:
    """Links lead one way. Finds the topological order: that of the graph, where its links only lead back."""
    above = {id: _sources(node, draft.flat) for id, node in draft.flat.nodes.items()}
    draft.order = _ordered(above)
    if len(draft.order) < len(above):
        draft.order = []
        for circle in _circles(above):
            yield Problem(f"a cycle: {' -> '.join(circle)}", "remove one of these links", circle[0])


def _ordered(above: Mapping[str, list[str]]) -> list[str]:
    """The nodes in topological order, as far as they are on no circle and below none (Kahn 1962)."""
    order: list[str] = []
    missing: dict[str, int] = {}
    below: dict[str, list[str]] = {}
    done: set[str] = set()
    for id, sources in above.items():
        left = {source for source in sources if source not in done}
        if left:
            missing[id] = len(left)
            for source in left:
                below.setdefault(source, []).append(id)
            continue
        ready = [id]
        while ready:
            done.add(found := ready.pop())
            order.append(found)
            for taker in below.pop(found, ()):
                missing[taker] -= 1
                if not missing[taker]:
                    ready.append(taker)
    return order


def _circles(above: Mapping[str, list[str]]) -> Iterator[list[str]]:
    """One circle out of each knot of nodes that depend on each other, in the direction of its links."""
    import networkx

    links = networkx.DiGraph([(source, id) for id, sources in above.items() for source in sources])
    for knot in networkx.strongly_connected_components(links):
        if len(knot) > 1 or any(links.has_edge(id, id) for id in knot):
            edges = networkx.find_cycle(links.subgraph(knot), min(knot))
            yield [*(source for source, _ in edges), edges[0][0]]


def _sources(node: Node, flat: Flat) -> list[str]:
    found = []
    for given in node.inputs.values():
        if type(given) is Link:
            found.append(given.node)
        elif type(given) is tuple:
            found += [link.node for link in links_of(given)]
    return [id for id in found if id in flat.nodes]


def own_checks(draft: Draft) -> Iterator[Problem]:
    """What node types find wrong with their literals."""
    for call in draft.calls.values():
        if call.type.check:
            yield from _found(call, partial(call.type.check, Upstream(call, draft.calls).literals, draft.limits))


def fitting_calls(draft: Draft) -> Iterator[Problem]:
    """What node types find wrong between their literals and the nodes that they are linked to."""
    for id in draft.order:
        call = draft.calls.get(id)
        if call and call.type.fits:
            yield from _found(call, partial(call.type.fits, Upstream(call, draft.calls)))


def _found(call: Call, find: Callable[[], Iterable[NodeProblem]]) -> Iterator[Problem]:
    """What a node type finds wrong with a call; that its own check failed, where it did."""
    try:
        for found in find():
            yield Problem(found.message, found.hint, call.id, found.input)
    except Exception as fault:
        message = f"the check of {call.type.name} failed: {fault.__class__.__name__}: {fault}"
        yield Problem(message, "fix the node type; linked and refused inputs are not among its literals", call.id)


def reachable_files(draft: Draft) -> Iterator[Problem]:
    """Files that inputs name exist, can be read and are what is wanted. Finds model families."""
    seen: dict[tuple[str, str, str], Resolved | InputError] = {}
    for id, call in draft.calls.items():
        resources: dict[str, Resolved] = {}
        for name, one in call.type.inputs.items():
            text = call.inputs.get(name)
            if one.resource is None or not isinstance(text, str):
                continue
            place = (call.type.name, name, text)
            found = seen[place] = seen.get(place) or _resolved(draft, one, text)
            if isinstance(found, InputError):
                yield Problem(found.message, found.hint, id, name)
            else:
                resources[text] = found
        if resources:
            draft.calls[id] = Call(id, call.type, call.inputs, resources)


def _resolved(draft: Draft, one: Input, text: str) -> Resolved | InputError:
    assert one.resource is not None
    try:
        return one.resource.resolve(text, draft.places)
    except InputError as fault:
        known = draft.places.contents.get(text)
        return Resolved(text, Path(text), (), digest=Digest(known)) if known else fault
    except OSError as fault:
        return InputError(f"`{text}` cannot be read: {fault.strerror or fault}", "check the file and its permissions")


def one_family(draft: Draft) -> Iterator[Problem]:
    """Models, latents and conditionings that meet are of one family."""
    return clashes(draft.calls, draft.order)


RULES: tuple[Rule, ...] = (
    known_types,
    known_inputs,
    known_targets,
    no_cycles,
    specialised_types,
    bound_inputs,
    known_outputs,
    own_checks,
    reachable_files,
    one_family,
    fitting_calls,
)
"""Every static check, in order; later rules see what earlier ones found out."""
