"""What steps need of their device's memory, counted without computing them: nodes run on a device without memory.

Nodes that only prepare (loaders, sizes, pictures from files) run as they are. Imports torch.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from weft.engine.device import DRY_DEVICE
from weft.engine.errors import InputError
from weft.engine.graph.graph import Link
from weft.engine.interrupts import is_interrupt
from weft.engine.keys import Digest
from weft.engine.limits import Limits
from weft.engine.notices import receiving
from weft.engine.planning.planner import Plan, Step
from weft.engine.running.node_call import called
from weft.engine.spec.at_once import running
from weft.engine.spec.call import Call
from weft.engine.spec.context import Context
from weft.engine.spec.workload import MemoryUse
from weft.engine.store import HeldWeights, MemoryNote
from weft.engine.weights.dry_device import DryDevice
from weft.engine.weights.residency import Residency
from weft.engine.weights.savings import Savings

Outputs = Mapping[str, Any]


def measured(plan: Plan, residency: Residency, setting: str, limits: Limits) -> Iterator[tuple[Digest, MemoryNote]]:
    """What the steps of a plan need of which it is not known, each with its memory key.

    A step is left out where it, or one that it needs, cannot run so: where a value decides that nothing has computed.

    Args:
        residency: of the engine, which has the files of the plan and says what leaves a device for the host.
        setting: the precision of the engine.
    """
    asked: dict[Digest, str] = {}
    for step in plan.steps:
        if step.memory_key is not None and step.memory is None:
            asked.setdefault(step.memory_key, step.call.id)
    wanted = _needed(plan, asked.values())
    with DryDevice() as device, running(_refused), receiving(lambda notice: None):
        own = Residency(residency.sources, offload=residency.offload, alone=True)
        run = _DryRun(device, own, setting, limits)
        for step in plan.steps:
            if step.call.id not in wanted:
                continue
            note = run.step(step)
            if note is not None and step.memory_key is not None and asked.get(step.memory_key) == step.call.id:
                yield step.memory_key, note


def _needed(plan: Plan, ids: Iterable[str]) -> set[str]:
    """Steps with all that they take values from; what lies above a cached one is not needed."""
    steps = {step.call.id: step for step in plan.steps}
    needed: set[str] = set()
    waiting = [*ids]
    while waiting:
        step = steps.get(waiting.pop())
        if step is not None and step.call.id not in needed:
            needed.add(step.call.id)
            waiting += [link.node for _, link in step.call.links] if step.record is None else []
    return needed


class _DryRun:
    def __init__(self, device: DryDevice, residency: Residency, setting: str, limits: Limits) -> None:
        self.device = device
        self.residency = residency
        self.setting = setting
        self.limits = limits
        self.values: dict[str, Outputs] = {}

    def step(self, step: Step) -> MemoryNote | None:
        """Make the values of a step; gives what it needed where it was called."""
        if step.record is not None:
            self.values[step.call.id] = {name: one.load() for name, one in step.record.outputs.items()}
            return None
        try:
            arrived = {link: self._value(link) for _, link in step.call.links}
        except KeyError:  # a step above could not be called
            return None
        if self.residency.used:
            self.residency.clear()
            gc.collect()  # modules of the step before, which their libraries leave in circles
        held = self.device.held
        self.device.begin()
        savings = Savings()
        context = Context(DRY_DEVICE, self.setting, self.residency, step.found, limits=self.limits, savings=savings)
        try:
            self.values[step.call.id] = called(*_shorter(step.call, arrived), lambda: context, self.limits)
        except BaseException as fault:
            if is_interrupt(fault):
                raise
            return None
        weights = tuple(HeldWeights(one.what, one.size) for one in self.residency.holdings(DRY_DEVICE))
        return MemoryNote(self.device.peak - held, weights, tuple(sorted(savings.possible)))

    def _value(self, link: Link) -> Any:
        outputs = self.values[link.node]
        return outputs[link.output or next(iter(outputs))]


def _shorter(call: Call, arrived: Mapping[Link, Any]) -> tuple[Call, Mapping[Link, Any]]:
    """A call with the values behind its links, made as short as its type says that it can be."""
    use = call.type.trait(MemoryUse)
    if use is None:
        return call, arrived
    linked = {name: given for name, given in call.inputs.items() if isinstance(given, Link)}
    others = use.shorter({**call.inputs, **{name: arrived[link] for name, link in linked.items()}})
    literals = {name: given for name, given in others.items() if name not in linked}
    values = {linked[name]: given for name, given in others.items() if name in linked}
    return replace(call, inputs={**call.inputs, **literals}), {**arrived, **values}


def _refused(type: Any, inputs: Mapping[str, Any]) -> Any:
    """What runs node types that a node calls itself: nothing, since they would compute."""
    raise InputError("a node calls others while its memory is counted", "", "unusable-input")
