"""Hits computed again, to find nodes that are not deterministic: the cache is only as right as they are.

A node that reads a clock, draws numbers of its own or leaves the order of a sum to threads is not deterministic.
`audit` calls nodes whose results came from the store once more, on inputs from the store, and compares digests.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import nullcontext

from weft.engine.errors import described
from weft.engine.events import NodeAudited
from weft.engine.graph.graph import Link
from weft.engine.interrupts import is_interrupt
from weft.engine.planning.planner import Plan, Step
from weft.engine.running.node_call import called
from weft.engine.spec.context import Context
from weft.engine.store import CorruptRecord, Record, ResultNote, Store
from weft.engine.store.codec import content_digest
from weft.engine.weights.device_lane import DeviceLane


def audit(
    plan: Plan,
    share: float,
    store: Store,
    context: Callable[..., Context],
    lane: DeviceLane,
    chance: Callable[[], float] = random.random,
) -> Iterator[NodeAudited]:
    """Compute a share of a plan's hits again and compare.

    Hits whose inputs the store does not have any more are left out.

    Args:
        share: of the hits, in 0..1; each is chosen by chance.
        context: makes a node's context from its files and lane.
        lane: the device's, in which nodes of the `gpu` lane take turns.
        chance: gives numbers in 0..1.
    """
    steps = {step.call.id: step for step in plan.steps}
    for step in plan.of("cached"):
        if chance() >= share or step.record is None:
            continue
        try:
            records = {link: _record(steps[link.node], store) for _, link in step.call.links}
            if None not in records.values():
                yield _audited(step, {link: record for link, record in records.items() if record}, context, lane)
        except CorruptRecord:
            continue


def _record(step: Step, store: Store) -> Record | None:
    """The store's record of a node, also where the plan did not need it."""
    if step.record is not None:
        return step.record
    note = store.recall(step.recipe, ResultNote)
    return store.get(note.content) if note else None


def _audited(step: Step, records: dict[Link, Record], context: Callable[..., Context], lane: DeviceLane) -> NodeAudited:
    assert step.record is not None
    arrived = {link: record.outputs[link.output or next(iter(record.outputs))] for link, record in records.items()}
    values = {link: handle.load() for link, handle in arrived.items()}
    try:
        with lane.turn() if step.call.type.lane == "gpu" else nullcontext(lane) as turn:
            given = context(resources=step.found, lane=turn)
            outputs = called(step.call, values, lambda: given, given.limits)
    except BaseException as fault:
        if is_interrupt(fault):
            raise
        return NodeAudited(step.call.id, step.call.type.name, (described(fault),))
    known = step.record.outputs
    differ = tuple(name for name, item in outputs.items() if content_digest(item) != known[name].digest)
    return NodeAudited(step.call.id, step.call.type.name, differ)
