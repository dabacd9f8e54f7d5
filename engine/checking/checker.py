"""Every static problem of a graph at once, and the calls that it means.

`check` runs the rules of `weft.engine.checking.rules` in order. Where they find no problem, the result has every node
as a `Call` with its literals in their declared types, in topological order, which is what planning and running work
from: nothing below looks at raw inputs again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from weft.engine.checking.draft import Draft
from weft.engine.checking.inlining import Flat, inline
from weft.engine.checking.rules import RULES
from weft.engine.errors import Problem, listed, nearest
from weft.engine.gc import paused_collection
from weft.engine.graph.graph import Graph, Link
from weft.engine.limits import Limits
from weft.engine.spec.call import Call
from weft.engine.spec.catalog import Catalog
from weft.engine.weights.resources import SearchPaths


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


@paused_collection()
def check(
    graph: Graph,
    catalog: Catalog,
    places: SearchPaths,
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
    catalog = catalog.including(graph)
    flat = inline(graph, places, limits, catalog.types, known)
    draft = Draft(flat, catalog, places, limits)
    problems = list(flat.problems)
    for rule in RULES:
        problems += rule(draft)
    wanted, faults = _wanted(draft, only := tuple(only))
    problems += faults
    calls = {id: draft.calls[id] for id in draft.order if id in draft.calls}
    if not problems:
        calls = {id: _needed(call, known) for id, call in calls.items()}
    file = str(graph.path) if graph.path else ""
    located = tuple(_traced(problem.within(file), graph, flat) for problem in _unique(problems))
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


def _files(draft: Draft, graph: Graph) -> tuple[Path, ...]:
    named = (path for call in draft.calls.values() for found in call.resources.values() for path in found.files)
    return tuple(dict.fromkeys([*([graph.path] if graph.path else []), *draft.flat.files, *named]))


def _unique(problems: Iterable[Problem]) -> list[Problem]:
    """Each problem once; what is wrong with every item of a repeated subgraph is said of the first."""
    first: dict[Problem, Problem] = {}
    for problem in problems:
        first.setdefault(replace(problem, node=re.sub(r"/\d+(?=/|$)", "/*", problem.node)), problem)
    return list(first.values())


def _traced(problem: Problem, graph: Graph, flat: Flat) -> Problem:
    """The problem with the line of Python that made its node, where one did."""
    node = flat.nodes.get(problem.node) or graph.nodes.get(problem.node)
    if node is None or node.made_at is None:
        return problem
    file, line = node.made_at
    return replace(problem, made_at=f"{file}:{line}")


def _wanted(draft: Draft, only: tuple[str, ...]) -> tuple[tuple[str, ...], list[Problem]]:
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
