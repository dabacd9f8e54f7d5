"""What an attempt runs: an item's graph, in its batch where it has one.

Each batch is a file in the job's folder, named by its content, so that whoever works there finds it without a ledger.
A batch that fails is dissolved: its file goes, and its items are run by themselves, until the job is submitted again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson

from weft.engine.atomic_write import replace_file
from weft.engine.farm.merge.batching import Types
from weft.engine.farm.merge.merged import merge, relinked
from weft.engine.farm.sweep.items import Item
from weft.engine.farm.sweep.job import Axis, Job
from weft.engine.farm.work.ledger import Entry
from weft.engine.farm.work.publishing import HIDDEN
from weft.engine.graph.graph import Graph, Node
from weft.engine.graph.traversal import reached, sources
from weft.engine.keys import digest
from weft.engine.planning.planner import Plan
from weft.engine.running.result import Result


def batch_name(items: Sequence[Item]) -> str:
    """The name of a batch, which is also that of the group that its items share most with."""
    return f"batch-{digest([item.values for item in items])[:16]}"


def write_batches(folder: Path, job: Job, batches: Sequence[Sequence[Item]]) -> None:
    """Write a file for each batch of a job."""
    axes = [axis.targets for axis in job.axes]
    for items in batches:
        content = orjson.dumps({"axes": axes, "items": [item.values for item in items]})
        replace_file(_path(folder, batch_name(items)), content)


def graph_of(folder: Path, graph: Graph, entry: Entry, catalog: Types) -> Graph:
    """What is run for an item: the job's graph with its settings, in its batch.

    By itself where it has none, where the batch is dissolved, or where a worker died of it.
    """
    try:
        batch = None if entry.charge else orjson.loads(_path(folder, entry.shared).read_bytes())
    except FileNotFoundError:
        batch = None
    if batch is None:
        return graph.replace(entry.settings)
    return graph_in_batch(graph, batch["axes"], batch["items"], entry.settings, catalog)


def graph_in_batch(
    graph: Graph,
    axes: Sequence[Sequence[str]],
    members: Sequence[Mapping[str, Any]],
    settings: Mapping[str, Any],
    catalog: Types,
) -> Graph:
    """What one item of a batch needs, as a graph: its own nodes by their names, and those that its batch takes from.

    Args:
        graph: the job's.
        axes: the targets of each axis of the job.
        members: what each item of the batch sets, in the order of the job.
        settings: what this item sets.
    """
    rows = [Axis(tuple(one), tuple(tuple(member[target] for target in one) for member in members)) for one in axes]
    job = Job(graph, tuple(rows), batch=len(members))
    items = [Item(place, one, dict.fromkeys(job.targets, place)) for place, one in enumerate(members)]
    merged = merge(job, items, catalog, dict.fromkeys(range(len(items)), 0))
    place = [digest(member) for member in members].index(digest(settings))
    own = dict(zip(merged.nodes[place], job.graph.nodes, strict=True))
    needed = reached(own, sources(merged.graph.nodes).__getitem__)
    names = _plain_names(needed, own)
    nodes = {
        names[id]: Node(node.type, {name: relinked(given, names) for name, given in node.inputs.items()})
        for id, node in merged.graph.nodes.items()
        if id in needed
    }
    return replace(merged.graph, nodes=nodes)


def _plain_names(ids: Iterable[str], own: Mapping[str, str]) -> dict[str, str]:
    """Names that a graph file takes: for the other items' `sampler@3` it is `sampler-3`."""
    names = dict(own)
    taken = {*own.values()}
    for id in sorted({*ids} - {*own}):
        name = id.replace("@", "-")
        while name in taken:
            name += "-"
        taken.add(name)
        names[id] = name
    return names


def failed_together(plan: Plan, result: Result) -> bool:
    """Whether calls that were to be made together were not made, so that another item may be at fault."""
    made = {*result.ran, *result.cached}
    return any(step.call.type.batch and step.call.id not in made for step in plan.of("run", "undecided"))


def dissolve(folder: Path, entry: Entry) -> bool:
    """Have the items of a batch run by themselves from now on; whether there was one."""
    path = _path(folder, entry.shared)
    there = path.is_file()
    path.unlink(missing_ok=True)
    return there


def _path(folder: Path, name: str) -> Path:
    return folder / HIDDEN / "batches" / f"{name}.json"
