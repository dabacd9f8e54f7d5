"""All items of a job as one graph, each node that items share once, planned as any other graph is.

A node is repeated for each combination of the axes that reach it: P prompts and S seeds make P text encodes and P x S
samplers. `sampler@3` is the fourth of `sampler`, and `sampler@batch3` makes the calls of the fourth batch. What
`weft.engine.planning.planner` says of this graph is what the job needs, and recipe keys name its items.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from weft.engine.checking.checker import Checked
from weft.engine.checking.inlining import parameter_fault
from weft.engine.errors import GraphError, Problem
from weft.engine.farm.merge.batching import Types, batchable, numbered, put_together
from weft.engine.farm.sweep.items import Expansion, Item, expand
from weft.engine.farm.sweep.job import Job
from weft.engine.farm.sweep.typed_values import with_typed_values
from weft.engine.graph.bundle import self_contained
from weft.engine.graph.graph import Graph, Link, Node
from weft.engine.graph.traversal import accumulated
from weft.engine.keys import Digest, digest
from weft.engine.limits import Limits
from weft.engine.planning.planner import Plan, Step
from weft.engine.session import Engine


@dataclass
class Merged:
    """One graph for many items.

    Args:
        nodes: for each item the ids that stand for the nodes of the job's graph, in the order of these.
        batches: the items of each batch in which calls are made together.
    """

    graph: Graph
    nodes: list[tuple[str, ...]] = field(default_factory=list)
    batches: list[tuple[Item, ...]] = field(default_factory=list)


@dataclass(frozen=True)
class JobPlan:
    """What a job will do.

    Args:
        ids: of each item, by content; equal ids are one picture.
        steps: the nodes that its items need, each shared one once.
        batches: the items of each batch in which calls are made together.
        origins: the digests of the node types and files that the ids are made of (`Plan.origins`).
    """

    expansion: Expansion
    ids: tuple[Digest, ...]
    steps: tuple[Step, ...]
    batches: tuple[tuple[Item, ...], ...] = ()
    origins: Mapping[str, str] = field(default_factory=dict)

    @property
    def items(self) -> tuple[Item, ...]:
        """The items of the job, in its order."""
        return self.expansion.items

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
    job = with_typed_values(job, engine.catalog)
    expansion = Expansion(job, tuple(expand(job)))
    # The first item by itself, so that most problems name the job's own nodes, and the graph has no circles below.
    first = engine.check(job.graph.replace(expansion.items[0].values))
    _refuse([*_beyond(job, engine.limits), *first.problems])
    # Subgraphs as they were just read, also for the workers: an item's id must name what these will run.
    job = replace(job, graph=self_contained(job.graph, first.subgraphs))
    expansion = Expansion(job, expansion.items)
    numbers = numbered(expansion, engine.catalog) if job.batch > 1 else {}
    merged = merge(expansion, engine.catalog, numbers)
    engine = _for_all_items(engine, len(expansion.items))
    try:
        found = engine.plan(merged.graph)
    except GraphError as fault:
        raise GraphError(_located(fault.problems)) from None
    # Values that decide a branch may have come from the store, and ids must not depend on what it happens to have.
    named = Engine.plan(replace(engine, store=None), merged.graph) if found.checked.known else found
    return JobPlan(expansion, tuple(_ids(merged, named)), found.steps, tuple(merged.batches), named.origins)


def _for_all_items(engine: Engine, count: int) -> Engine:
    """The same engine for the merged graph of so many items: its limit of nodes is for the graph of one item."""
    whole = copy(engine)
    whole.limits = replace(engine.limits, max_nodes=count * engine.limits.max_nodes)
    return whole


def _refuse(problems: Iterable[Problem]) -> None:
    if found := tuple(problems):
        raise GraphError(found)


def _beyond(job: Job, limits: Limits) -> Iterator[Problem]:
    if job.batch > limits.max_batch:
        message = f"a batch of {job.batch:,} is larger than the limit of {limits.max_batch:,}"
        yield Problem(message, "ask for a smaller batch, or raise WEFT_MAX_BATCH", code="batch-too-large")


def _located(problems: Iterable[Problem]) -> Iterator[Problem]:
    """Problems of copies as those of the job's own nodes, each once."""
    seen: dict[Problem, Problem] = {}
    for problem in problems:
        place = replace(problem, node="/".join(part.partition("@")[0] for part in problem.node.split("/")))
        seen.setdefault(place, place)
    return iter(seen)


def _ids(merged: Merged, plan: Plan) -> Iterator[Digest]:
    """For each item the digest of the recipes of its sinks."""
    sinks = defaultdict(list)
    for step in _sinks(plan.checked, plan.steps):
        sinks[step.call.id.partition("/")[0]].append(step.recipe)
    for nodes in merged.nodes:
        yield digest(("item", [recipe for node in nodes for recipe in sinks.get(node, ())]))


def _sinks(checked: Checked, steps: Iterable[Step]) -> Iterator[Step]:
    wanted = {*checked.wanted}
    found = [step for step in steps if step.call.id in wanted and step.call.type.sink]
    if not found:
        message = "the graph of a job ends in no sink (a node that returns an artifact)"
        raise GraphError([Problem(message, "add a SaveImage node", code="nothing-to-run")])
    return iter(found)


def merge(expansion: Expansion, catalog: Types, numbers: Mapping[int, int] = MappingProxyType({})) -> Merged:
    """All items as one graph.

    Args:
        numbers: for each item, by its number, that of its batch; nothing where no calls are made together.

    Raises:
        GraphError: for values that parameters of the graph do not take.
    """
    _refuse(_refused_values(expansion.job))
    merge = _Merge(expansion, catalog, numbers)
    for item in expansion.items:
        merge.add(item)
    merge.put_together(expansion.items)
    return merge.merged


_BATCH = "a batch"
"""What stands for the number of its batch among what tells copies of a node apart; no target of an axis is so named."""


class _Merge:
    """A merged graph in the making."""

    def __init__(self, expansion: Expansion, catalog: Types, numbers: Mapping[int, int]) -> None:
        self.graph = expansion.job.graph
        self.catalog = catalog
        self.numbers = numbers
        self.rows = expansion.first_rows
        self.together = {*(batchable(self.graph, catalog) if numbers else ())}
        self.nodes: dict[str, Node] = {}
        self.merged = Merged(replace(self.graph, nodes=self.nodes, parameters={}, outputs={}, layout={}))
        self.names: dict[tuple[str, tuple[int, ...]], str] = {}
        self.counts: Counter[str] = Counter()
        self.calls: dict[tuple[str, int], list[str]] = defaultdict(list)
        above = expansion.above
        batches = accumulated(above, above, lambda id: {_BATCH} if id in self.together else set())
        reach = {id: expansion.axes[id] | batches[id] for id in self.graph.nodes}
        self.targets = {id: [target for target in (*self.rows, _BATCH) if target in reach[id]] for id in reach}

    def add(self, item: Item) -> None:
        """Add the nodes of an item that no item before has."""
        places = {target: first[item.indices[target]] for target, first in self.rows.items()}
        places[_BATCH] = self.numbers.get(item.number, 0)
        own: dict[str, str] = {}
        fresh = []
        for id, reaching in self.targets.items():
            key = (id, tuple([places[target] for target in reaching]))
            if key not in self.names:
                self.names[key] = f"{id}@{self.counts[id]}" if reaching else id
                self.counts[id] += 1
                fresh.append(id)
            own[id] = self.names[key]
        self._copy(fresh, own, item)
        for id in self.together.intersection(fresh):
            self.calls[id, places[_BATCH]].append(own[id])
        self.merged.nodes.append(tuple(own.values()))

    def _copy(self, fresh: Sequence[str], names: Mapping[str, str], item: Item) -> None:
        settings = _settings(self.graph, item) if fresh else {}
        for id in fresh:
            inputs = {**self.graph.nodes[id].inputs, **settings.get(id, {})}
            linked = {name: relinked(given, names, self.together) for name, given in inputs.items()}
            self.nodes[names[id]] = Node(self.graph.nodes[id].type, linked)

    def put_together(self, items: Sequence[Item]) -> None:
        """Make the calls of each batch one."""
        found = set()
        for (id, number), copies in self.calls.items():
            if len(copies) > 1:
                self.nodes.update(put_together(f"{id}@batch{number}", copies, self.nodes, self.catalog))
                found.add(number)
        members: dict[int, list[Item]] = defaultdict(list)
        for item in items:
            members[self.numbers.get(item.number, 0)].append(item)
        self.merged.batches += [tuple(members[number]) for number in sorted(found)]


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


def relinked(given: Any, names: Mapping[str, str], single: Collection[str] = ()) -> Any:
    """An input whose links lead to nodes by their new names.

    Args:
        single: nodes with one output, whose name may change.
    """
    if isinstance(given, Link):
        return Link(names.get(given.node, given.node), None if given.node in single else given.output)
    if isinstance(given, tuple):
        return tuple(relinked(element, names, single) for element in given)
    return given


def _refused_values(job: Job) -> Iterator[Problem]:
    for axis in job.axes:
        for target, values in zip(axis.targets, zip(*axis.rows, strict=True), strict=True):
            parameter = job.graph.parameters.get(target)
            faults = (parameter_fault(parameter, value) for value in values) if parameter else ()
            if fault := next(filter(None, faults), None):
                yield Problem(f"sweep over `{target}`: {fault.message}", fault.hint, code=fault.code)
