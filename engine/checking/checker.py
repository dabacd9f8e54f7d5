"""All static problems of a graph at once, and its calls.

`check` inlines subgraphs, completes a draft by the passes of `weft.engine.checking.passes`, and looks for problems with
the rules of `weft.engine.checking.rules`. Where there are none, the result has every node as a `Call` with its literals
in their declared types, in topological order. Planning and running work from these calls and read no raw input again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial, reduce
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import Any

from weft.engine.checking.draft import Draft
from weft.engine.checking.inlining import Flat, inline
from weft.engine.checking.passes import PASSES
from weft.engine.checking.refused_items import for_all_items, refused_items
from weft.engine.checking.rules import RULES, failed_check, found_by
from weft.engine.errors import Problem, capped, few_suggestions
from weft.engine.gc import paused_collection
from weft.engine.graph.graph import Graph, Link
from weft.engine.graph.subgraph_files import SubgraphFiles
from weft.engine.graph.traversal import reached
from weft.engine.interrupts import is_interrupt
from weft.engine.limits import Limits
from weft.engine.spec.call import Call
from weft.engine.spec.catalog import Catalog
from weft.engine.spec.node import Advice
from weft.engine.spec.upstream import Upstream
from weft.engine.weights.resources import SearchPaths


@dataclass(frozen=True)
class Checked:
    """A checked graph.

    Args:
        calls: its nodes in topological order.
        wanted: the nodes that must run, with all that they need.
        outputs: the graph's outputs, as links to nodes of the graph without subgraphs.
        files: the files that it is made of or names: its own, those of its subgraphs, pictures, models.
        catalog: the node types that it was checked with; empty in a copy, which is checked again with the engine's.
        subgraphs: the graph files that it is made of, as they were read.
        only: the selection of nodes that `wanted` was made of; empty for every sink and output.
        pending: the nodes whose links or number depend on values that are not computed yet (a lazy node's branch, the
            items of a repeated subgraph), with the links to these values. Once the values are `known`, the graph is
            checked again.
        known: values behind such links.
        warnings: what the files that it names hold that nothing reads; the graph runs in spite of it.
        refused: the nodes of single items of a computed list that cannot run, with their problems. They fail in a run.
    """

    graph: Graph
    calls: Mapping[str, Call]
    wanted: tuple[str, ...]
    outputs: Mapping[str, Link]
    problems: tuple[Problem, ...]
    files: tuple[Path, ...]
    catalog: Catalog = field(repr=False)
    subgraphs: SubgraphFiles = field(repr=False)
    only: tuple[str, ...] = ()
    pending: Mapping[str, tuple[Link, ...]] = field(default_factory=dict)
    known: Mapping[Link, Any] = field(default_factory=dict)
    warnings: tuple[Problem, ...] = ()
    refused: Mapping[str, tuple[Problem, ...]] = field(default_factory=dict)

    def __getstate__(self) -> dict[str, Any]:
        """What goes to another process: not the types of every installed library."""
        return {**self.__dict__, "catalog": Catalog()}


@paused_collection()
@few_suggestions()
def check(
    graph: Graph,
    catalog: Catalog,
    places: SearchPaths,
    limits: Limits,
    only: Iterable[str] = (),
    known: Mapping[Link, Any] = MappingProxyType({}),
    subgraphs: SubgraphFiles | None = None,
) -> Checked:
    """Find everything that is wrong with a graph before anything runs.

    Args:
        graph: the graph; its own node types join the catalogue's.
        places: where files that it names are looked up.
        only: nodes to run instead of every sink and output.
        known: values that decide branches and list lengths, as far as they are computed, by the links to them.
        subgraphs: the graph files that it is made of, as an earlier check of the same run read them.
    """
    catalog = catalog.including(graph)
    subgraphs = subgraphs or SubgraphFiles(places, limits)
    flat = inline(graph, places, limits, catalog, known, subgraphs)
    draft = Draft(flat, catalog, places, limits, tuple(only), reported=_reported(flat))
    draft = reduce(lambda draft, step: step(draft), PASSES, draft)
    found: Iterable[Problem] = chain(flat.problems, (problem for rule in RULES for problem in rule(draft)))
    refused: Mapping[str, tuple[Problem, ...]] = {}
    if known:
        refused = refused_items(draft.calls, found := [*found])
    problems = [] if refused else capped(_unique(found))
    calls = {id: draft.calls[id] for id in draft.order if id in draft.calls}
    if not problems:
        calls = {id: call if id in refused else _needed(call, known, problems) for id, call in calls.items()}
        problems = capped(_unique(problems))
    file = str(graph.path) if graph.path else ""
    located, warnings = (
        tuple(_traced(problem.within(file), graph, flat) for problem in some)
        for some in (problems, _unique(_warnings(calls, advised=not problems)))
    )
    pending = _pending(flat, calls, draft.wanted, known)
    files = _files(draft, graph)
    read = (files, catalog, subgraphs)
    given = (located, *read, draft.only, pending, known, warnings, refused)
    return Checked(graph, calls, draft.wanted, flat.outputs, *given)


def _reported(flat: Flat) -> frozenset[str]:
    """The nodes and inputs (`node.input`) of problems that reading and inlining found, so that none is found twice."""
    return frozenset(name for one in flat.problems for name in (one.node, f"{one.node}.{one.input}"))


def deciding(checked: Checked) -> Checked:
    """The part of a graph that computes the values that pending nodes wait for.

    It computes every value that decides a branch or a list length, is certainly needed, and waits for no other one.
    """
    waits: set[str] = set()
    for id, call in checked.calls.items():
        if id in checked.pending or any(link.node in waits for _, link in call.links):
            waits.add(id)
    needed = certain(checked)
    links = (link for id, found in checked.pending.items() if id in needed for link in found if link.node not in waits)
    outputs = {str(link): link for link in links}
    return replace(checked, wanted=tuple({link.node: None for link in outputs.values()}), outputs=outputs, pending={})


def certain(checked: Checked) -> set[str]:
    """The nodes that are needed whatever pending values turn out to be; of a pending node's sources, only these values.

    The placeholder nodes of a list that is needed are among them.
    """

    def above(id: str) -> Iterable[str]:
        pending = checked.pending.get(id)
        return (link.node for link in pending) if pending else (link.node for _, link in checked.calls[id].links)

    return reached(checked.wanted, above)


def ancestors(
    calls: Mapping[str, Call], starts: Iterable[str], pending: Mapping[str, Iterable[Link]] = MappingProxyType({})
) -> set[str]:
    """Some nodes and all that they take from, with the sources of the values that pending nodes wait for."""

    def above(id: str) -> Iterable[str]:
        links = [link.node for _, link in calls[id].links] if id in calls else []
        return [*links, *(link.node for link in pending[id])] if id in pending else links

    return reached(starts, above)


def is_placeholder(id: str) -> bool:
    """Whether a node represents those of every item of a list that is not computed yet."""
    return "/*/" in id


def _needed(call: Call, known: Mapping[Link, Any], problems: list[Problem]) -> Call:
    """The call without the links that it does not need, where the value that decides it is known.

    Where the node type cannot say which these are, that goes to `problems`.
    """
    lazy = call.type.lazy
    if lazy is None:
        return call
    decides = call.inputs.get(lazy.by)
    if isinstance(decides, Link):
        if decides not in known:
            return call
        decides = known[decides]
    try:
        return replace(call, inputs=dict(lazy.keep(decides, call.inputs)))
    except BaseException as fault:
        if is_interrupt(fault):
            raise
        problems.append(failed_check(call, fault))
        return call


def _pending(
    flat: Flat, calls: Mapping[str, Call], wanted: Iterable[str], known: Mapping[Link, Any]
) -> dict[str, tuple[Link, ...]]:
    """The nodes below the wanted ones that wait for values, with the links to these."""
    pending: dict[str, tuple[Link, ...]] = {}
    for id, call in calls.items():
        decides = call.inputs.get(call.type.lazy.by) if call.type.lazy else None
        if isinstance(decides, Link) and decides not in known:
            pending[id] = (decides,)
        for prefix in _placeholders(id) if flat.awaited else ():
            if prefix in flat.awaited:
                pending[id] = flat.awaited[prefix]
    if pending:
        needed = ancestors(calls, wanted, pending)
        pending = {id: links for id, links in pending.items() if id in needed}
    return pending


def _placeholders(id: str) -> Iterator[str]:
    """The paths of the placeholder items that a node is part of, each with a slash at its end, the innermost last."""
    start = id.find("/*/")
    while start >= 0:
        yield id[: start + 3]
        start = id.find("/*/", start + 2)


def _files(draft: Draft, graph: Graph) -> tuple[Path, ...]:
    named = (path for call in draft.calls.values() for found in call.resources.values() for path in found.files)
    return tuple(dict.fromkeys([*([graph.path] if graph.path else []), *draft.flat.files, *named]))


def _warnings(calls: Mapping[str, Call], advised: bool) -> Iterator[Problem]:
    """The notices of the files that calls name, each at its input.

    Args:
        advised: whether the advice of node types is among them.
    """
    for call in calls.values():
        for name, text in call.inputs.items() if call.resources else ():
            for one in call.resources[text].notices if isinstance(text, str) and text in call.resources else ():
                yield Problem(one.message, one.hint, call.id, name, code=one.code)
        if advised and call.type.traits and (advice := call.type.trait(Advice)) is not None:
            yield from found_by(call, partial(advice.find, Upstream(call, calls)))


def _unique(problems: Iterable[Problem]) -> Iterator[Problem]:
    """Each problem once; of equal problems of the items of a repeated subgraph, that of the first item."""
    seen: set[Problem] = set()
    for problem in problems:
        general = replace(problem, node=for_all_items(problem.node))
        if general not in seen:
            seen.add(general)
            yield problem


def _traced(problem: Problem, graph: Graph, flat: Flat) -> Problem:
    """The problem with the line of Python that made its node, where one did."""
    node = flat.nodes.get(problem.node) or graph.nodes.get(problem.node)
    if node is None or node.made_at is None:
        return problem
    file, line = node.made_at
    return replace(problem, made_at=f"{file}:{line}")
