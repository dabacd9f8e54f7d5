"""Items: a job expanded, each with its values, and the order of work in which most results are shared."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from weft.engine.farm.sweep.job import Axis, Job
from weft.engine.graph.graph import Graph
from weft.engine.graph.traversal import accumulated, sources, topological
from weft.engine.keys import Digest, digest


@dataclass(frozen=True)
class Item:
    """One picture of a job.

    Args:
        number: its place in the order of the file, from 0.
        values: what it sets, by target.
        indices: for each target, which of its values that is.
    """

    number: int
    values: Mapping[str, Any]
    indices: Mapping[str, int]

    def tokens(self, key: str) -> dict[str, Any]:
        """What its name may be made of."""
        indices = {f"{target}_index": index for target, index in self.indices.items()}
        return {**self.values, **indices, "index": self.number, "key": key}


def expand(job: Job) -> Iterator[Item]:
    """The items of a job, the last axis changing first."""
    for number, places in enumerate(itertools.product(*(range(len(axis.rows)) for axis in job.axes))):
        values: dict[str, Any] = {}
        indices: dict[str, int] = {}
        for axis, place in zip(job.axes, places, strict=True):
            values.update(zip(axis.targets, axis.rows[place], strict=True))
            indices.update(dict.fromkeys(axis.targets, place))
        yield Item(number, values, indices)


@dataclass(frozen=True)
class Expansion:
    """A job and its items, with what batching, merging and the order of work need of them, each computed once.

    An axis is named by its first target. The job's graph has no circles.
    """

    job: Job
    items: tuple[Item, ...]

    @cached_property
    def above(self) -> Mapping[str, Sequence[str]]:
        """For each node the nodes that it links to; in topological order."""
        above = sources(self.job.graph.nodes)
        return {id: above[id] for id in topological(above)}

    @cached_property
    def axes(self) -> Mapping[str, set[str]]:
        """For each node the axes that set an input of it, or of a node that it takes from."""
        own: defaultdict[str, set[str]] = defaultdict(set)
        for axis in self.job.axes:
            for id in touched(self.job.graph, axis):
                own[id].add(axis.targets[0])
        return accumulated(self.above, self.above, lambda id: own[id])

    @cached_property
    def first_rows(self) -> Mapping[str, Sequence[int]]:
        """For each axis, and each of its rows, the first row that is equal to it."""
        found = {}
        for axis in self.job.axes:
            first: dict[Digest, int] = {}
            found[axis.targets[0]] = [first.setdefault(digest([*row]), place) for place, row in enumerate(axis.rows)]
        return found

    @cached_property
    def order(self) -> Sequence[tuple[str, Item]]:
        """The items in the order of work, each with the name of the group that shares most with it.

        An axis that is set early in the graph (a checkpoint, a prompt) changes last, since most nodes depend on it; a
        group has all axes in common but the one that changes first. An axis of one value never changes and is left out.
        """
        depths = self._depths()
        changing = [axis for axis in self.job.axes if len(axis.rows) > 1]
        axes = sorted(changing, key=lambda axis: min(depths.get(id, 0) for id in touched(self.job.graph, axis)))
        targets = [axis.targets[0] for axis in axes]

        def place(item: Item) -> tuple[int, ...]:
            return tuple(item.indices[target] for target in targets)

        return [("-".join(map(str, place(item)[:-1])), item) for item in sorted(self.items, key=place)]

    def _depths(self) -> Mapping[str, int]:
        """For each node how many nodes lie above it in the longest chain of links."""
        depths: dict[str, int] = {}
        for id, above in self.above.items():
            depths[id] = max((depths[source] + 1 for source in above), default=0)
        return depths


def touched(graph: Graph, axis: Axis) -> list[str]:
    """The nodes that an axis sets inputs of."""
    found = []
    for target in axis.targets:
        sets = (target,) if "." in target else graph.parameters[target].sets
        found += [one.partition(".")[0] for one in sets]
    return found
