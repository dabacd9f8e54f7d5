"""How long each node of a graph takes on this machine, against a floor: the time that its products of numbers need.

A graph is run several times on one engine that keeps no results: once to load everything, once to count products, and
then for the times. The floor of a node is its floating-point operations over the rate at which the device multiplies
large matrices in the same precision; what else it does (norms, activations, the host) comes on top. Imports torch.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from weft.engine import events
from weft.engine.graph.graph import Graph
from weft.engine.session import Engine

SIDES: Mapping[str, int] = {"cpu": 1024}
"""Of the matrices that the rate is measured with, by kind of device."""

LARGE_SIDE = 8192
"""The same on GPUs."""

WORTH_SHOWING = 0.0005
"""Seconds from which on a node is listed."""


@dataclass(frozen=True)
class NodeTime:
    """One node of a graph.

    Args:
        seconds: the median of its calls.
        steps: that it reports, such as those of a sampler; 0 for none.
        operations: floating-point operations of products and convolutions.
        floor: the seconds that these need at least.
    """

    node: str
    type: str
    seconds: float
    steps: int = 0
    operations: int = 0
    floor: float = 0.0

    @property
    def step(self) -> float | None:
        """Seconds a step; None where there are none."""
        return self.seconds / self.steps if self.steps else None

    @property
    def over_floor(self) -> float | None:
        """How many times the floor it takes; None where it multiplies nothing worth the time."""
        return self.seconds / self.floor if self.floor > self.seconds / 100 else None

    def plain(self) -> dict[str, Any]:
        """The record as JSON values."""
        return {**asdict(self), "step": self.step, "over_floor": self.over_floor}


@dataclass(frozen=True)
class PartTimes:
    """The times of a graph.

    Args:
        rate: floating-point operations a second in products of large matrices.
        first: seconds of the first run, which loads weights and libraries.
        seconds: the median of the others.
        parts: its nodes, in the order in which they run.
    """

    device: str
    precision: str
    rate: float
    first: float
    seconds: float
    parts: tuple[NodeTime, ...]

    def plain(self) -> dict[str, Any]:
        """The record as JSON values, without its parts."""
        return {name: given for name, given in asdict(self).items() if name != "parts"}


@dataclass
class _Heard:
    """What the events of runs say of each node."""

    operations: FlopCounterMode | None = None
    seconds: dict[str, list[float]] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)
    steps: dict[str, int] = field(default_factory=dict)
    counted: dict[str, int] = field(default_factory=dict)

    def __call__(self, event: events.Event) -> None:
        match event:
            case events.NodeStarted(node):
                self.counted[node] = -self._count()
            case events.NodeProgress(node, _, _, steps):
                self.steps[node] = steps
            case events.NodeFinished(node, type, seconds):
                self.types[node] = type
                self.seconds.setdefault(node, []).append(seconds)
                self.counted[node] += self._count()

    def _count(self) -> int:
        return self.operations.get_total_flops() if self.operations else 0


def part_times(engine: Engine, graph: Graph, rounds: int) -> PartTimes:
    """The times of a graph's nodes, over some rounds.

    Args:
        engine: without a store, so that every node runs in every round.

    Raises:
        NodeError: where a node fails.
    """
    first = _run(engine, graph, _Heard())
    with FlopCounterMode(display=False, custom_mapping=_OTHERS) as operations:
        counting = _Heard(operations)
        _run(engine, graph, counting)
    heard = _Heard()
    taken = [_run(engine, graph, heard) for _ in range(rounds)]
    precision = engine.resolved_precision.removeprefix("auto-")
    rate = multiplication_rate(engine.resolved_device, getattr(torch, precision))
    parts = (
        NodeTime(
            node,
            heard.types[node],
            statistics.median(seconds),
            heard.steps.get(node, 0),
            counting.counted.get(node, 0),
            counting.counted.get(node, 0) / rate,
        )
        for node, seconds in heard.seconds.items()
    )
    listed = tuple(one for one in parts if one.seconds >= WORTH_SHOWING)
    return PartTimes(engine.resolved_device, precision, rate, first, statistics.median(taken), listed)


def _run(engine: Engine, graph: Graph, heard: _Heard) -> float:
    started = time.perf_counter()
    engine.run(graph, listener=heard)
    return time.perf_counter() - started


def multiplication_rate(device: str, dtype: torch.dtype, rounds: int = 5) -> float:
    """Floating-point operations a second of a device in products of large matrices; the best of some rounds."""
    side = SIDES.get(device.partition(":")[0], LARGE_SIDE)
    one, other = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    (one @ other)[0, 0].item()
    best = float("inf")
    for _ in range(rounds):
        started = time.perf_counter()
        (one @ other)[0, 0].item()  # the host waits for it
        best = min(best, time.perf_counter() - started)
    return 2 * side**3 / best


def _attention(query: Sequence[int], key: Sequence[int], value: Sequence[int], *others: Any, **options: Any) -> int:
    """The operations of attention over tensors of these shapes: the products with keys and with values."""
    *rows, queries, width = query
    return 2 * math.prod(rows) * queries * key[-2] * (width + value[-1])


_OTHERS: dict[Any, Any] = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention}
"""Operations that torch's counter does not know."""
