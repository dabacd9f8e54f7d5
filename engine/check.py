"""Every static problem of a graph at once, and the calls that it means.

`check` runs the rules in order; each is a small function from a draft to problems. Where there are none, the result has
every node as a `Call` with its literals in their declared types, in topological order, which is what planning and
running work from: nothing below looks at raw inputs again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from weft.engine.call import Call, Gather
from weft.engine.catalog import Catalog
from weft.engine.collection import paused_collection
from weft.engine.errors import InputError, Problem, listed, nearest
from weft.engine.families import clashes
from weft.engine.generic import literal_type, specialised
from weft.engine.graph import Graph, Link, Node, links_of
from weft.engine.inline import Flat, inline
from weft.engine.keys import Digest
from weft.engine.limits import Limits
from weft.engine.node import Input, NodeProblem, NodeType, Output
from weft.engine.resources import Places, Resolved
from weft.engine.types import ListOf, LiteralError, NoNumber, Type, list_item, shown
from weft.engine.upstream import Upstream


@dataclass(frozen=True)
class Checked:
    """A graph that was checked: its calls in topological order, what is wanted of it, and its problems.

    `files` are those that it was made of or names: its own, those of its subgraphs, pictures, models. `pending` has the
    nodes of which it is not known yet what they take (the branch of a lazy one) or how many there are (in a repeated
    subgraph), with the links whose values decide it: once these are `known`, the graph is checked again.
    """

    graph: Graph
    calls: Mapping[str, Call]
    wanted: tuple[str, ...]
    outputs: Mapping[str, Link]
    problems: tuple[Problem, ...]
    files: tuple[Path, ...]
    only: tuple[str, ...] = ()
    pending: Mapping[str, tuple[Link, ...]] = field(default_factory=dict)
    known: Mapping[Link, Any] = field(default_factory=dict)


@dataclass
class _Draft:
    """What the rules work on: the flat graph, and the calls as far as they are known."""

    flat: Flat
    catalog: Catalog
    places: Places
    limits: Limits
    calls: dict[str, Call] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    reported: set[str] = field(default_factory=set)
    types: dict[str, NodeType] = field(default_factory=dict)

    def __post_init__(self) -> None:
        known = self.catalog.types
        self.types = {id: known[node.type] for id, node in self.flat.nodes.items() if node.type in known}
        for problem in self.flat.problems:
            self.reported |= {problem.node, f"{problem.node}.{problem.input}"}

    def typed(self) -> Iterator[tuple[str, Node, NodeType]]:
        for id, type in self.types.items():
            yield id, self.flat.nodes[id], type


Rule = Callable[[_Draft], Iterable[Problem]]


def known_types(draft: _Draft) -> Iterator[Problem]:
    """Every node's type is installed."""
    for id, node in draft.flat.nodes.items():
        if id not in draft.types:
            yield Problem(f"unknown node type `{node.type}`", draft.catalog.suggest(node.type), id)


def known_inputs(draft: _Draft) -> Iterator[Problem]:
    """Every input that is given exists, and every required one is given."""
    for id, node, type in draft.typed():
        for name in node.inputs:
            if name not in type.inputs:
                mend = nearest(name, type.inputs) or f"{type.name} takes: {listed(type.inputs)}"
                yield Problem(f"{type.name} has no input `{name}`", mend, id, name)
        for name, one in type.inputs.items():
            if one.required and name not in node.inputs and f"{id}.{name}" not in draft.reported:
                yield Problem(f"the required input `{name}` ({one.type}) is missing", _missing_mend(one), id, name)


def _missing_mend(one: Input) -> str:
    if any(one.type.sockets()):
        return f'link it: "{one.name}": {{"link": "NODE"}} with an output of type {one.type}'
    return f'give it: "{one.name}": a value of type {one.type}'


def known_targets(draft: _Draft) -> Iterator[Problem]:
    """Every input that a parameter sets exists, whether or not the parameter has a value."""
    for target in draft.flat.targets:
        node = draft.flat.nodes.get(target.node)
        type = draft.types.get(target.node)
        if node and type and target.input not in type.inputs and target.input not in node.inputs:
            message = f"parameter `{target.parameter}` sets `{target.input}`: {type.name} has no such input"
            mend = nearest(target.input, type.inputs) or f"{type.name} takes: {listed(type.inputs)}"
            yield Problem(message, mend, target.node, target.input)


def specialised_types(draft: _Draft) -> Iterator[Problem]:
    """Node types over any one type are of the type that the graph gives."""
    generic = {id for id, type in draft.types.items() if type.generic}
    for id in draft.order or [*draft.types] if generic else ():
        if id in generic:
            inputs = draft.flat.nodes[id].inputs
            given = {name: found for name, item in inputs.items() if (found := _given_type(draft, item))}
            draft.types[id] = specialised(draft.types[id], given)
    yield from ()


def _given_type(draft: _Draft, given: Any) -> Type | None:
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


def bound_inputs(draft: _Draft) -> Iterator[Problem]:
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
                yield Problem(str(fault), fault.mend, id, name)
        draft.calls[id] = Call(id, type, inputs)


def _bound(draft: _Draft, given: Any, wanted: Type) -> Any:
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


def _fitting(draft: _Draft, link: Link, wanted: Type) -> Link:
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


def _output(draft: _Draft, link: Link) -> Output | None:
    """The output that a link leads to; None where its node cannot be read or is of no known type, reported there."""
    node = draft.flat.nodes.get(link.node)
    if link.node in draft.flat.subgraphs:
        raise _no_subgraph_output(link, draft.flat.subgraphs[link.node])
    if node is None and link.node in draft.reported:
        return None
    if node is None:
        mend = nearest(link.node, draft.flat.nodes) or f"the nodes are: {listed(draft.flat.nodes)}"
        raise LiteralError(f"links to `{link}`, but there is no node `{link.node}`", mend)
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
        mend = nearest(link.output, type.outputs) or f"{type.name} gives: {listed(type.outputs)}"
        raise LiteralError(f"links to `{link}`, but {type.name} has no output `{link.output}`", mend)
    return type.outputs[link.output]


def _no_subgraph_output(link: Link, outputs: tuple[str, ...]) -> LiteralError:
    """Why a link to a subgraph leads nowhere; one that leads somewhere was replaced when the subgraph was."""
    if not outputs:
        return LiteralError(f"links to `{link}`, a subgraph without outputs", "give the subgraph `outputs`")
    example = f'name one: {{"link": "{link.node}.{outputs[0]}"}}'
    if link.output is None:
        return LiteralError(f"links to `{link}`, which has several outputs: {listed(outputs)}", example)
    mend = nearest(link.output, outputs) or example
    return LiteralError(f"links to `{link}`, but the subgraph has no output `{link.output}`", mend)


def _candidates(draft: _Draft, wanted: Type, node: str) -> str:
    """Outputs of the same node that would fit."""
    type = draft.types.get(node)
    fits = [f"{node}.{one.name}" for one in type.outputs.values() if wanted.accepts(one.type)] if type else []
    return f", such as `{fits[0]}`" if fits else ""


def known_outputs(draft: _Draft) -> Iterator[Problem]:
    """Every output of the graph leads somewhere."""
    for name, link in draft.flat.outputs.items():
        try:
            _output(draft, link)
        except LiteralError as fault:
            yield Problem(f"output `{name}` {fault}", fault.mend)


def no_cycles(draft: _Draft) -> Iterator[Problem]:
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


def own_checks(draft: _Draft) -> Iterator[Problem]:
    """What node types find wrong with their literals."""
    for call in draft.calls.values():
        if call.type.check:
            yield from _found(call, partial(call.type.check, Upstream(call, draft.calls).literals, draft.limits))


def fitting_calls(draft: _Draft) -> Iterator[Problem]:
    """What node types find wrong between their literals and the nodes that they are linked to."""
    for id in draft.order:
        call = draft.calls.get(id)
        if call and call.type.fits:
            yield from _found(call, partial(call.type.fits, Upstream(call, draft.calls)))


def _found(call: Call, find: Callable[[], Iterable[NodeProblem]]) -> Iterator[Problem]:
    """What a node type finds wrong with a call; that its own check failed, where it did."""
    try:
        for found in find():
            yield Problem(found.message, found.mend, call.id, found.input)
    except Exception as fault:
        message = f"the check of {call.type.name} failed: {fault.__class__.__name__}: {fault}"
        yield Problem(message, "mend the node type; linked and refused inputs are not among its literals", call.id)


def reachable_files(draft: _Draft) -> Iterator[Problem]:
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
                yield Problem(found.message, found.mend, id, name)
            else:
                resources[text] = found
        if resources:
            draft.calls[id] = Call(id, call.type, call.inputs, resources)


def _resolved(draft: _Draft, one: Input, text: str) -> Resolved | InputError:
    assert one.resource is not None
    try:
        return one.resource.resolve(text, draft.places)
    except InputError as fault:
        known = draft.places.contents.get(text)
        return Resolved(text, Path(text), (), digest=Digest(known)) if known else fault
    except OSError as fault:
        return InputError(f"`{text}` cannot be read: {fault.strerror or fault}", "check the file and its permissions")


def one_family(draft: _Draft) -> Iterator[Problem]:
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


@paused_collection()
def check(
    graph: Graph,
    catalog: Catalog,
    places: Places,
    limits: Limits,
    only: Iterable[str] = (),
    known: Mapping[Link, Any] = MappingProxyType({}),
) -> Checked:
    """Find everything that is wrong with a graph before anything runs.

    Args:
        graph: what to check; its own node types join the catalogue's.
        places: where files that it names are looked up.
        only: nodes to run instead of every sink and output.
        known: the values behind links that decide what else is needed, as far as nodes have given them already.
    """
    if graph.types:
        catalog = Catalog({**catalog.types, **graph.types})
    flat = inline(graph, places, limits, catalog.types, known)
    draft = _Draft(flat, catalog, places, limits)
    problems = list(flat.problems)
    for rule in RULES:
        problems += rule(draft)
    wanted, faults = _wanted(draft, only := tuple(only))
    problems += faults
    calls = {id: draft.calls[id] for id in draft.order if id in draft.calls}
    if not problems:
        calls = {id: _needed(call, known) for id, call in calls.items()}
    file = str(graph.path) if graph.path else ""
    located = tuple(problem.within(file) for problem in _unique(problems))
    pending = _pending(flat, calls, wanted, known)
    return Checked(graph, calls, wanted, flat.outputs, located, _files(draft, graph), only, pending, known)


def deciding(checked: Checked) -> Checked:
    """What of a graph gives the values that nodes wait for which are needed for certain, and waits for none itself."""
    waits: set[str] = set()
    for id, call in checked.calls.items():
        if id in checked.pending or any(link.node in waits for _, link in call.links):
            waits.add(id)
    needed = certain(checked)
    links = (link for id, found in checked.pending.items() if id in needed for link in found if link.node not in waits)
    outputs = {str(link): link for link in links}
    return replace(checked, wanted=tuple({link.node: None for link in outputs.values()}), outputs=outputs, pending={})


def certain(checked: Checked) -> set[str]:
    """The nodes that are needed whatever is decided, of a pending one no more than what decides.

    With them those that stand for the items of a list that is needed.
    """
    found: set[str] = set()
    stack = [*checked.wanted]
    while stack:
        id = stack.pop()
        if id in found:
            continue
        found.add(id)
        links = checked.pending[id] if id in checked.pending else (link for _, link in checked.calls[id].links)
        stack += [link.node for link in links]
    return found


def stands_for_all(id: str) -> bool:
    """Whether a node stands for those of every item of a list that is not known yet."""
    return "/*/" in id


def _needed(call: Call, known: Mapping[Link, Any]) -> Call:
    """The call without the links that it does not need, as far as what decides it is known."""
    lazy = call.type.lazy
    if lazy is None:
        return call
    decides = call.inputs.get(lazy.by)
    if isinstance(decides, Link):
        if decides not in known:
            return call
        decides = known[decides]
    return replace(call, inputs=lazy.keep(decides, call.inputs))


def _pending(
    flat: Flat, calls: Mapping[str, Call], wanted: Iterable[str], known: Mapping[Link, Any]
) -> dict[str, tuple[Link, ...]]:
    """The nodes under what is wanted that wait for the value of a link to be known, and these links."""
    pending: dict[str, tuple[Link, ...]] = {}
    for id, call in calls.items():
        decides = call.inputs.get(call.type.lazy.by) if call.type.lazy else None
        if isinstance(decides, Link) and decides not in known:
            pending[id] = (decides,)
        for prefix, lists in flat.awaited.items():
            if id.startswith(prefix):
                pending[id] = lists
    if pending:
        needed = ancestors(calls, wanted, pending)
        pending = {id: links for id, links in pending.items() if id in needed}
    return pending


def ancestors(
    calls: Mapping[str, Call], wanted: Iterable[str], pending: Mapping[str, Iterable[Link]] = MappingProxyType({})
) -> set[str]:
    """Nodes and all that they take from, what their pending ones wait for included."""
    found = {*wanted}
    stack = [*found]
    while stack:
        id = stack.pop()
        links = [link for _, link in calls[id].links] if id in calls else []
        above = {link.node for link in [*links, *pending.get(id, ())]} - found
        found |= above
        stack += above
    return found


def _files(draft: _Draft, graph: Graph) -> tuple[Path, ...]:
    named = (path for call in draft.calls.values() for found in call.resources.values() for path in found.files)
    return tuple(dict.fromkeys([*([graph.path] if graph.path else []), *draft.flat.files, *named]))


def _unique(problems: Iterable[Problem]) -> list[Problem]:
    """Each problem once; what is wrong with every item of a repeated subgraph is said of the first."""
    first: dict[Problem, Problem] = {}
    for problem in problems:
        first.setdefault(replace(problem, node=re.sub(r"/\d+(?=/|$)", "/*", problem.node)), problem)
    return list(first.values())


def _wanted(draft: _Draft, only: tuple[str, ...]) -> tuple[tuple[str, ...], list[Problem]]:
    """The nodes that must run: those asked for, or every sink and every node behind an output."""
    nodes = draft.flat.nodes
    faults = [
        Problem(f"--only {id}: there is no such node", nearest(id, nodes) or f"the nodes are: {listed(nodes)}")
        for id in only
        if id not in nodes
    ]
    if only:
        return tuple(dict.fromkeys(id for id in only if id in nodes)), faults
    sinks = [id for id, _, type in draft.typed() if type.sink]
    wanted = tuple(dict.fromkeys([*sinks, *(link.node for link in draft.flat.outputs.values())]))
    if not wanted and not draft.reported and all(node.type in draft.catalog for node in nodes.values()):
        found = f"its {len(nodes)} nodes end in no sink" if nodes else "it has no nodes"
        message = f"nothing to run: {found} (a node that returns an artifact) and the graph has no `outputs`"
        faults.append(Problem(message, 'add a SaveImage node, or "outputs": {"NAME": {"link": "NODE"}}'))
    return wanted, faults
