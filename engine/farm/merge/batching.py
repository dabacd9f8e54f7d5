"""Batching: calls of items that differ only in texts and whole numbers are made together, up to so many at once.

A node type whose calls can be made together has another that makes them (`weft.engine.spec.batched`). Items are put
into batches in the order of work. In the merged graph of a batch the calls become one, and each of them a `Choose` of
what it gives: keys, plan, cache and cost follow by themselves. What a batch holds is part of its keys, so items have
other ids than without one. Samplers inside subgraphs stay as they are.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from weft.engine.errors import GraphError, Problem, listed
from weft.engine.farm.sweep.items import Expansion, Item
from weft.engine.farm.sweep.job import Axis, Job
from weft.engine.graph.graph import Graph, Link, Node, links_of
from weft.engine.spec.node import REQUIRED, NodeType
from weft.engine.types import Scalar

Types = Mapping[str, NodeType]
"""Node types by name."""


def batch_types(catalog: Types) -> dict[str, NodeType]:
    """The node types that make calls together, by the name of the single one."""
    return {type.batch.of: type for type in catalog.values() if type.batch}


def batchable(graph: Graph, catalog: Types) -> list[str]:
    """The nodes whose calls can be made together."""
    types = batch_types(catalog)
    return [id for id, node in graph.nodes.items() if node.type in types]


def numbered(expansion: Expansion, catalog: Types) -> dict[int, int]:
    """For each item, by its number, the number of its batch.

    Items whose calls are the same count once.

    Raises:
        GraphError: where no node of the graph can be batched.
    """
    job = expansion.job
    nodes = batchable(job.graph, catalog)
    if not nodes:
        able = listed(sorted(batch_types(catalog))) or "none"
        hint = f"leave `batch` out; node types that can be batched, outside of subgraphs: {able}"
        raise GraphError([Problem("`batch`: no node of the graph can be batched", hint, code="nothing-to-batch")])
    touching = {axis for id in nodes for axis in expansion.axes[id]}
    apart = touching & {*_apart(job, nodes, expansion.axes, catalog)}
    rows = expansion.first_rows

    def place(item: Item, axes: set[str]) -> tuple[tuple[str, int], ...]:
        return tuple((axis, rows[axis][item.indices[axis]]) for axis in rows if axis in axes)

    fresh = itertools.count()
    filling: dict[Any, int] = {}
    numbers: dict[Any, int] = {}
    sizes: Counter[int] = Counter()
    for own, common in ((place(item, touching), place(item, apart)) for _, item in expansion.order):
        if own not in numbers:
            if sizes[filling.setdefault(common, next(fresh))] == job.batch:
                filling[common] = next(fresh)
            numbers[own] = filling[common]
            sizes[numbers[own]] += 1
    return {item.number: numbers[place(item, touching)] for item in expansion.items}


def _apart(job: Job, nodes: Sequence[str], reach: Mapping[str, set[str]], catalog: Types) -> Iterator[str]:
    """The axes that keep items out of one batch: those that change more than texts and whole numbers, and those that
    reach what is common to a batch."""
    for axis in job.axes:
        if not all(_together(job.graph, target, catalog) for target in _inputs(job.graph, axis)):
            yield axis.targets[0]
    types = batch_types(catalog)
    for id in nodes:
        node, batch = job.graph.nodes[id], types[job.graph.nodes[id].type].batch
        shared = [given for name, given in node.inputs.items() if batch and name not in batch.inputs]
        yield from (axis for given in shared for link in links_of(given) for axis in reach.get(link.node, ()))


def _inputs(graph: Graph, axis: Axis) -> Iterator[str]:
    """What an axis sets, as NODE.INPUT."""
    for target in axis.targets:
        yield from (target,) if "." in target else graph.parameters[target].sets


def _together(graph: Graph, target: str, catalog: Types) -> bool:
    """Whether calls that differ in this input can stand in one batch: a text or a whole number that names no file."""
    id, _, name = target.partition(".")
    type = catalog.get(graph.nodes[id].type)
    if type is None or name not in type.inputs:
        return False
    together = batch_types(catalog).get(type.name)
    if together and together.batch:
        return name in together.batch.inputs
    one = type.inputs[name]
    return one.resource is None and isinstance(one.type, Scalar) and one.type.name in ("str", "int")


def put_together(id: str, names: Sequence[str], nodes: Mapping[str, Node], catalog: Types) -> dict[str, Node]:
    """What takes the place of nodes that differ in a batch's lists alone.

    Args:
        id: of the node that makes the calls.
        names: of the nodes; each becomes a choice of what that one gives.
    """
    singles = [nodes[name] for name in names]
    single = catalog[singles[0].type]
    type = batch_types(catalog)[single.name]
    assert type.batch is not None
    lists = {name: tuple(_given(one, name, single) for one in singles) for name in type.batch.inputs}
    if any(isinstance(one, tuple) and any(links_of(one)) for calls in lists.values() for one in calls):
        return {}  # a list within a list cannot hold links
    chosen = {name: Node("Choose", {"index": index, "items": Link(id)}) for index, name in enumerate(names)}
    return {id: Node(type.name, {**singles[0].inputs, **lists}), **chosen}


def _given(node: Node, name: str, type: NodeType) -> Any:
    given = node.inputs.get(name, type.inputs[name].default)
    return None if given is REQUIRED else given
