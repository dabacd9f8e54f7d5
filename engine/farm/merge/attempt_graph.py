"""What an attempt runs: an item's graph, in its batch where it has one.

Each batch is a file in the job's folder, named by its content, so that whoever works there finds it without a ledger.
A batch that fails is dissolved: its file goes, and its items are run by themselves, until the job is submitted again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from weft.engine.atomic_write import replace_file
from weft.engine.farm.merge.batching import Types
from weft.engine.farm.merge.merged import Merged, merge, relinked
from weft.engine.farm.sweep.items import Expansion, Item
from weft.engine.farm.sweep.job import Axis, Job
from weft.engine.farm.work.ledger import Entry
from weft.engine.farm.work.publishing import batch_path
from weft.engine.graph.graph import Graph, Node
from weft.engine.graph.traversal import links_above, reached
from weft.engine.keys import Digest, digest
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
        replace_file(batch_path(folder, batch_name(items)), content)


@dataclass
class AttemptGraphs:
    """Gives the graph that is run for each item of a job.

    The merged graph of the batch of the last item is kept: a worker runs the items of a batch one after the other. Not
    for several threads at once.

    Args:
        folder: the job's.
        graph: the job's, before an item sets anything.
        catalog: the node types by name.
    """

    folder: Path
    graph: Graph
    catalog: Types
    _name: str = ""
    _batch: MergedBatch | None = None

    def of(self, entry: Entry) -> Graph:
        """What is run for an item: the job's graph with its settings, in its batch.

        By itself where it has none, where the batch was dissolved, or where a worker died of it.
        """
        batch = None if entry.charge else self._read(entry.shared)
        return batch.graph_of(entry.settings) if batch else self.graph.replace(entry.settings)

    def _read(self, name: str) -> MergedBatch | None:
        """The batch of a name; None where there is none. Others may dissolve it, so its file is always looked for."""
        path = batch_path(self.folder, name)
        if name == self._name and path.is_file():
            return self._batch
        try:
            plain = orjson.loads(path.read_bytes())
        except (FileNotFoundError, ValueError):  # an item of a batch whose file is damaged runs by itself
            return None
        self._name, self._batch = name, MergedBatch.of(self.graph, plain["axes"], plain["items"], self.catalog)
        return self._batch


@dataclass(frozen=True)
class MergedBatch:
    """The items of a batch as one graph, from which that of each item is taken.

    Args:
        ids: of the job's own nodes, in the order of its graph.
        places: of the items, by the digest of what they set.
    """

    merged: Merged
    ids: tuple[str, ...]
    places: Mapping[Digest, int]

    @classmethod
    def of(
        cls, graph: Graph, axes: Sequence[Sequence[str]], members: Sequence[Mapping[str, Any]], catalog: Types
    ) -> MergedBatch:
        """Merge the items of a batch.

        Args:
            graph: the job's.
            axes: the targets of each axis of the job.
            members: what each item of the batch sets, in the order of the job.
        """
        rows = [Axis(tuple(one), tuple(tuple(member[target] for target in one) for member in members)) for one in axes]
        job = Job(graph, tuple(rows), batch=len(members))
        items = (Item(place, one, dict.fromkeys(job.targets, place)) for place, one in enumerate(members))
        expansion = Expansion(job, tuple(items))
        merged = merge(expansion, catalog, dict.fromkeys(range(len(members)), 0))
        places: dict[Digest, int] = {}
        for place, member in enumerate(members):
            places.setdefault(digest(member), place)
        return cls(merged, tuple(graph.nodes), places)

    def graph_of(self, settings: Mapping[str, Any]) -> Graph:
        """What one item needs: its own nodes by their names in the job's graph, and those that its batch takes from.

        Args:
            settings: what this item sets.
        """
        nodes = self.merged.graph.nodes
        own = dict(zip(self.merged.nodes[self.places[digest(settings)]], self.ids, strict=True))
        needed = reached(own, lambda id: (link.node for link in links_above(nodes[id])))
        names = _plain_names(needed, own)
        taken = {
            names[id]: Node(node.type, {name: relinked(given, names) for name, given in node.inputs.items()})
            for id, node in nodes.items()
            if id in needed
        }
        return replace(self.merged.graph, nodes=taken)


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
