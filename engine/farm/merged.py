"""All items of a job as one graph, each node that items share once, planned as any other graph is.

A node is repeated for each combination of the axes that reach it: P prompts and S seeds make P text encodes and P x S
samplers. `sampler@3` is the fourth of `sampler`. What `weft.engine.plan` says of this graph is what the job needs, and
recipe keys name its items.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from weft.engine.check import Checked
from weft.engine.errors import GraphError, Problem
from weft.engine.farm.items import Item, expand, touched
from weft.engine.farm.job import Job
from weft.engine.graph import Graph, Link, Node, links_of
from weft.engine.inline import parameter_fault
from weft.engine.keys import Digest, digest
from weft.engine.plan import Plan, Step
from weft.engine.session import Engine


@dataclass
class Merged:
    """One graph for many items; `nodes` has for each item the ids that stand for its nodes."""

    graph: Graph
    nodes: list[tuple[str, ...]] = field(default_factory=list)


@dataclass(frozen=True)
class JobPlan:
    """What a job will do.

    Args:
        ids: of each item, by content; equal ids are one picture.
        steps: the nodes that its items need, each shared one once.
    """

    items: tuple[Item, ...]
    ids: tuple[Digest, ...]
    steps: tuple[Step, ...]

    @property
    def executions(self) -> Mapping[str, int]:
        """How often each node type will run at the most."""
        return Counter(step.call.type.name for step in self._of("run", "undecided"))

    @property
    def cached(self) -> int:
        """How many node executions the store has already."""
        return len(self._of("cached", "unneeded"))

    @property
    def seconds(self) -> float | None:
        """Seconds of work for one worker; None where a node type never ran."""
        expected = [step.expected for step in self._of("run", "undecided")]
        known = [one for one in expected if one is not None]
        return sum(known) if len(known) == len(expected) else None

    def _of(self, *states: str) -> list[Step]:
        return [*{step.recipe: step for step in self.steps if step.state in states}.values()]


def planned(job: Job, engine: Engine) -> JobPlan:
    """Expand a job and plan all of it.

    Raises:
        GraphError: with every problem of its items, each once.
    """
    items = tuple(expand(job))
    _refuse(engine.check(job.graph.replace(items[0].values)).problems)
    merged = merge(job, items)
    try:
        found = engine.plan(merged.graph)
    except GraphError as fault:
        raise GraphError(_located(fault.problems)) from None
    told = Engine.plan(_storeless(engine), merged.graph) if found.checked.known else found
    return JobPlan(items, tuple(_ids(merged, told)), found.steps)


def _storeless(engine: Engine) -> Engine:
    """The same engine without results: ids do not depend on what a store happens to have."""
    return replace(engine, store=None)


def _refuse(problems: Iterable[Problem]) -> None:
    if found := tuple(problems):
        raise GraphError(found)


def _located(problems: Iterable[Problem]) -> Iterator[Problem]:
    """Problems of copies as those of the job's own nodes, each once."""
    seen: dict[Problem, Problem] = {}
    for problem in problems:
        place = replace(problem, node="/".join(part.partition("@")[0] for part in problem.node.split("/")))
        seen.setdefault(place, place)
    return iter(seen)


def _ids(merged: Merged, told: Plan) -> Iterator[Digest]:
    """For each item the digest of the recipes of its sinks."""
    sinks = defaultdict(list)
    for step in _sinks(told.checked, told.steps):
        sinks[step.call.id.partition("/")[0]].append(step.recipe)
    for nodes in merged.nodes:
        yield digest(("item", [recipe for node in nodes for recipe in sinks.get(node, ())]))


def _sinks(checked: Checked, steps: Iterable[Step]) -> Iterator[Step]:
    wanted = {*checked.wanted}
    found = [step for step in steps if step.call.id in wanted and step.call.type.sink]
    if not found:
        message = "the graph of a job ends in no sink (a node that returns an artifact)"
        raise GraphError([Problem(message, "add a SaveImage node")])
    return iter(found)


def merge(job: Job, items: Sequence[Item]) -> Merged:
    """All items as one graph.

    Raises:
        GraphError: for values that parameters of the graph do not take.
    """
    _refuse(_refused_values(job))
    graph = job.graph
    reach = _reach(job)
    targets = {id: tuple(target for target in job.targets if target in found) for id, found in reach.items()}
    names: dict[tuple[str, tuple[int, ...]], str] = {}
    counts: Counter[str] = Counter()
    nodes: dict[str, Node] = {}
    merged = Merged(replace(graph, nodes=nodes, parameters={}, outputs={}, layout={}))
    for item in items:
        own: dict[str, str] = {}
        fresh: list[str] = []
        for id, reaching in targets.items():
            key = (id, tuple(item.indices[target] for target in reaching))
            if key not in names:
                names[key] = f"{id}@{counts[id]}" if reaching else id
                counts[id] += 1
                fresh.append(id)
            own[id] = names[key]
        settings = _settings(graph, item) if fresh else {}
        for id in fresh:
            inputs = {**graph.nodes[id].inputs, **settings.get(id, {})}
            linked = {name: _relinked(given, own) for name, given in inputs.items()}
            nodes[own[id]] = Node(graph.nodes[id].type, linked)
        merged.nodes.append(tuple(own.values()))
    return merged


def _reach(job: Job) -> dict[str, set[str]]:
    """For each node the targets of axes whose values reach it, over links."""
    reach: dict[str, set[str]] = {id: set() for id in job.graph.nodes}
    for axis in job.axes:
        for id in touched(job.graph, axis):
            reach[id].add(axis.targets[0])
    below = defaultdict(set)
    for id, node in job.graph.nodes.items():
        for given in node.inputs.values():
            for link in links_of(given):
                below[link.node].add(id)
    work = [id for id, found in reach.items() if found]
    while work:
        id = work.pop()
        for taker in below[id]:
            if not reach[id] <= reach[taker]:
                reach[taker] |= reach[id]
                work.append(taker)
    return reach


def _settings(graph: Graph, item: Item) -> dict[str, dict[str, Any]]:
    """What an item sets, by node and input; parameters go over inputs, as when a graph is run."""
    settings: dict[str, dict[str, Any]] = defaultdict(dict)
    changed = graph.replace(item.values)
    for id, node in changed.nodes.items():
        settings[id].update(node.inputs)
    for parameter in changed.parameters.values():
        for target in parameter.sets if parameter.has_default else ():
            id, _, name = target.partition(".")
            settings[id][name] = parameter.default
    return settings


def _relinked(given: Any, names: Mapping[str, str]) -> Any:
    if isinstance(given, Link):
        return Link(names.get(given.node, given.node), given.output)
    if isinstance(given, tuple):
        return tuple(_relinked(element, names) for element in given)
    return given


def _refused_values(job: Job) -> Iterator[Problem]:
    for axis in job.axes:
        for target, values in zip(axis.targets, zip(*axis.rows, strict=True), strict=True):
            parameter = job.graph.parameters.get(target)
            faults = (parameter_fault(parameter, value) for value in values) if parameter else ()
            if fault := next(filter(None, faults), None):
                yield Problem(f"sweep over `{target}`: {fault}", fault.mend)
