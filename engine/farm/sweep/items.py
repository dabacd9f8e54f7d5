"""Items: a job expanded, each with its values, the graph that it means, and a place in an order that shares most."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from weft.engine.farm.sweep.job import Axis, Job
from weft.engine.graph import traversal
from weft.engine.graph.graph import Graph
from weft.engine.graph.traversal import accumulated, topological
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


def by_sharing(job: Job, items: list[Item]) -> Iterator[tuple[str, Item]]:
    """The items in the order of work, each with the name of the group that shares most with it.

    What stands early in the graph (a checkpoint, a prompt) changes last, since most hangs below it; a group has all
    but the axis that changes first in common. An axis of one value never changes, and parts nothing.
    """
    depths = _depths(job.graph)
    changing = [axis for axis in job.axes if len(axis.rows) > 1]
    axes = sorted(changing, key=lambda axis: min(depths.get(node, 0) for node in touched(job.graph, axis)))
    places = [axis.targets[0] for axis in axes]

    def place(item: Item) -> tuple[int, ...]:
        return tuple(item.indices[target] for target in places)

    for item in sorted(items, key=place):
        yield "-".join(map(str, place(item)[:-1])), item


def touched(graph: Graph, axis: Axis) -> list[str]:
    """The nodes that an axis sets inputs of."""
    found = []
    for target in axis.targets:
        sets = (target,) if "." in target else graph.parameters[target].sets
        found += [one.partition(".")[0] for one in sets]
    return found


def labels_reaching(graph: Graph, own: Mapping[str, Iterable[str]]) -> dict[str, set[str]]:
    """For each node the labels (`own`) that it has itself and that nodes above it have."""
    above = traversal.sources(graph.nodes)
    return accumulated(topological(above), above, lambda id: {*own.get(id, ())})


def sources(job: Job) -> defaultdict[str, set[str]]:
    """For each node the axes that set its inputs, each by its first target."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for axis in job.axes:
        for id in touched(job.graph, axis):
            found[id].add(axis.targets[0])
    return found


def distinct(job: Job) -> dict[str, list[int]]:
    """For each axis, by its first target, and each of its rows the first row that is equal to it."""
    found = {}
    for axis in job.axes:
        first: dict[Digest, int] = {}
        found[axis.targets[0]] = [first.setdefault(digest([*row]), place) for place, row in enumerate(axis.rows)]
    return found


def _depths(graph: Graph) -> dict[str, int]:
    """For each node the length of the longest chain of links that ends in it."""
    above = traversal.sources(graph.nodes)
    depths: dict[str, int] = {}
    for id in topological(above):
        depths[id] = max((depths[source] + 1 for source in above[id]), default=0)
    return depths
