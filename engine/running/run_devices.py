"""The devices of a run, and which of them the next node takes.

With one device its nodes take turns on it. With several a node goes where its weights are. One whose weights are
nowhere goes to the device that has most room, so text encoders and VAEs lie on other devices than a large network.
Where its device is in use, a node whose time depends on its work (the trait `Work`: sampling, decoding) takes another
one that is free; others wait, since it is quicker to wait for an encoder than to load it twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from weft.engine.out_of_memory import release_memory
from weft.engine.planning.planner import Step
from weft.engine.quantities import shown_size
from weft.engine.spec.workload import Work
from weft.engine.weights.device_lane import DeviceLane
from weft.engine.weights.recipes import Recipe
from weft.engine.weights.residency import Holding


@dataclass(frozen=True)
class RunDevice:
    """A device, as a run uses it.

    Args:
        lane: in which nodes of the `gpu` lane take turns.
        make_room: evicts weights that nothing uses, and gives memory back.
        holdings: the weights on the device.
        room: bytes that a call may take, its weights included; None where that is not known.
        begin_peak: has the peak of the device's memory counted from now on; `peak` gives it, 0 where it is not counted.
        resident: whether the weights of all these recipes are on it.
        free: bytes that weights may still take; the more, the sooner others are loaded there.
    """

    device: str
    lane: DeviceLane
    make_room: Callable[[], None] = release_memory
    holdings: Callable[[], Sequence[Holding]] = tuple
    room: Callable[[], int | None] = lambda: None
    begin_peak: Callable[[], object] = tuple
    peak: Callable[[], int] = int
    resident: Callable[[Iterable[Recipe[Any]]], bool] = lambda recipes: True
    free: Callable[[], int] = int

    def holds(self) -> list[str]:
        """The weights on the device, with their sizes."""
        return [f"{one.what} ({shown_size(one.size)}{', in use' if one.used else ''})" for one in self.holdings()]


@dataclass
class RunDevices:
    """The devices of a run. Used by the thread of the run, but for `used`.

    Args:
        devices: the first is that of a node which goes to none in particular.
        kinds: the classes of recipes whose weights nodes of each type have used, in all runs of the engine.
    """

    devices: Sequence[RunDevice]
    kinds: dict[str, set[type]] = field(default_factory=dict)
    _taken: dict[str, tuple[str, list[Recipe[Any]]]] = field(default_factory=dict)

    @property
    def several(self) -> bool:
        """Whether nodes may run next to each other."""
        return len(self.devices) > 1

    @property
    def full(self) -> bool:
        """Whether nodes may run next to each other, and one runs on each device."""
        return self.several and len(self._taken) == len(self.devices)

    @property
    def first(self) -> RunDevice:
        """Where everything runs that goes nowhere else."""
        return self.devices[0]

    def take(self, step: Step, recipes: Iterable[Recipe[Any]]) -> RunDevice | None:
        """The device that a node is to take, until `give_back`; None where it is to wait for one.

        Args:
            recipes: all that its inputs name.
        """
        wanted, works = self._wanted(step, recipes), step.call.type.trait(Work) is not None
        free = [one for one in self.devices if one.device not in self._taken]
        coming = [device for device, (_, others) in self._taken.items() if _covers(others, wanted)]
        there = [one for one in self.devices if one.resident(wanted)] if wanted else [*free]
        if not there and not works:  # it may need a part of what its inputs name
            there = [one for one in self.devices if any(one.resident([other]) for other in wanted)]
        chosen = next((one for one in there if one in free), None)
        if chosen is None and free and ((not there and not coming) or works):
            chosen = max(free, key=lambda one: one.free())
        if chosen is not None:
            self._taken[chosen.device] = (step.call.id, wanted)
        return chosen

    def give_back(self, step: Step) -> None:
        """End a node's use of its device."""
        self._taken = {device: taken for device, taken in self._taken.items() if taken[0] != step.call.id}

    def used(self, step: Step, recipe: Recipe[Any]) -> None:
        """Note that a node has used weights: which of those that its inputs name it needs is known by that alone."""
        self.kinds[step.call.type.name] = self.kinds.get(step.call.type.name, set()) | {type(recipe)}

    def _wanted(self, step: Step, recipes: Iterable[Recipe[Any]]) -> list[Recipe[Any]]:
        """The recipes that a node will use, as far as is known: the bases of those that nodes of its type have used."""
        kinds = self.kinds.get(step.call.type.name)
        return [one.base for one in recipes if kinds is None or type(one) in kinds]


def _covers(some: Sequence[Recipe[Any]], wanted: Sequence[Recipe[Any]]) -> bool:
    return bool(wanted) and all(one in some for one in wanted)
