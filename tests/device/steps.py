"""What a step of sampling costs a pretended device outside of the network: waits of the host, and launches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

from tests.device.pretended import PretendedDevices

FEW, MANY = 4, 6
"""Steps of two runs; what the longer one does more is what its further steps do."""


@dataclass
class Counts:
    """What a run did outside of all modules, and within them.

    Args:
        waits: outside, by kind.
        launches: outside.
        network_waits: within modules, by kind.
    """

    waits: Counter[str] = field(default_factory=Counter)
    launches: int = 0
    network_waits: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class StepCost:
    """The same for one step."""

    waits: float
    launches: float
    network_waits: float
    kinds: dict[str, float]


def cost_of_a_step(devices: PretendedDevices, run: Callable[[int], object]) -> StepCost:
    """What each step costs, by two runs of different length.

    Args:
        run: samples with a number of steps.
    """
    few, many = (_counted(devices, run, steps) for steps in (FEW, MANY))
    steps = MANY - FEW
    kinds = {kind: (many.waits[kind] - few.waits[kind]) / steps for kind in many.waits}
    return StepCost(
        (many.waits.total() - few.waits.total()) / steps,
        (many.launches - few.launches) / steps,
        (many.network_waits.total() - few.network_waits.total()) / steps,
        {kind: count for kind, count in kinds.items() if count},
    )


def _counted(devices: PretendedDevices, run: Callable[[int], object], steps: int) -> Counts:
    counts = Counts()
    devices.reset()
    with _counting_within_modules(devices, counts):
        run(steps)
    counts.waits = devices.waits - counts.network_waits
    counts.launches = devices.launches.total() - counts.launches
    return counts


@contextmanager
def _counting_within_modules(devices: PretendedDevices, counts: Counts) -> Iterator[None]:
    """Count what happens within modules: `launches` has theirs meanwhile."""
    entered: list[tuple[Counter[str], int]] = []

    def enter(module: torch.nn.Module, given: Any) -> None:
        entered.append((devices.waits.copy(), devices.launches.total()))

    def leave(module: torch.nn.Module, given: Any, result: Any) -> None:
        waits, launches = entered.pop()
        if not entered:
            counts.network_waits += devices.waits - waits
            counts.launches += devices.launches.total() - launches

    hooks = (register_module_forward_pre_hook(enter), register_module_forward_hook(leave, always_call=True))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
