"""The devices of an engine, with the weights that lie on them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from weft.engine.accelerators import accelerators
from weft.engine.out_of_memory import release_memory
from weft.engine.planning.memory_needs import Room
from weft.engine.running.run_devices import RunDevice, RunDevices
from weft.engine.spec.context import LEAST
from weft.engine.weights.device_lane import DeviceLane, lane_of
from weft.engine.weights.device_memory import DeviceMemory, begin_peak, is_in_use, memory_of, peak_of
from weft.engine.weights.residency import Holding, Residency
from weft.engine.weights.streaming import Streaming


@dataclass(frozen=True)
class DeviceState:
    """A device of an engine as it is now, in bytes.

    Args:
        total, free: of its memory; None where that is not known, as of the CPU.
        weights: what weights have of it.
        most: what weights may have; None where no setting says it.
        holdings: the weights that lie there, the largest first.
    """

    device: str
    total: int | None
    free: int | None
    weights: int
    most: int | None
    holdings: tuple[Holding, ...]


@dataclass(frozen=True)
class EngineDevices:
    """What an engine computes on.

    Args:
        names: as torch names them; the first is that of a node which goes to none in particular.
        residency: the weights that are loaded.
        weights: bytes of weights to keep on a device; None is what it has, less `reserve`.
        reserve: bytes of a device that weights leave free; None is the residency's default.
    """

    names: Sequence[str]
    residency: Residency
    weights: int | None
    reserve: int | None
    _used_kinds: dict[str, set[type]] = field(default_factory=dict, repr=False)

    @property
    def first(self) -> str:
        """Where everything runs that goes nowhere else."""
        return self.names[0]

    @property
    def lane(self) -> DeviceLane:
        """In which nodes take turns on the first device."""
        return lane_of(self.first)

    @property
    def budgeted(self) -> bool:
        """Whether weights may have to leave a device for others."""
        return self.weights is not None or self.first != "cpu"

    def of_a_run(self) -> RunDevices:
        """The devices as one run takes them; which weights each type of node uses is shared by all runs."""
        return RunDevices(tuple(map(self._of_a_run, self.names)), self._used_kinds)

    def resident(self, values: Iterable[Any]) -> bool:
        """Whether the weights of all recipes in some values are on one device."""
        wanted = [*values]
        return any(self.residency.resident(wanted, device) for device in self.names)

    @property
    def streaming(self) -> Streaming:
        """Which parts of networks are sent to a device as they run, whatever there is room for."""
        return LEAST.get(self.residency.offload, "none")

    def states(self) -> tuple[DeviceState, ...]:
        """Each device as it is now."""
        return tuple(map(self._state, self.names))

    def _state(self, device: str) -> DeviceState:
        memory, weights = _memory(device), self.residency.used_on(device)
        total, free = (None, None) if memory is None else (memory.total, memory.free)
        return DeviceState(device, total, free, weights, self.weights, tuple(self.residency.holdings(device)))

    def rooms(self) -> Sequence[Room]:
        """What a run may use of each device's memory, where that is known without torch or torch is loaded."""
        return tuple(map(self._room, self.names))

    def _room(self, device: str) -> Room:
        memory, weights = _memory(device), self.weights
        name, alone = device if len(self.names) > 1 else "", self.residency.waits_on_host(device)
        if memory is None:
            return Room(None, weights, name, alone)
        reserve = memory.reserve if self.reserve is None else self.reserve
        free = memory.free + self.residency.used_on(device)
        return Room(free, max(free - reserve, 0) if weights is None else weights, name, alone)

    def _of_a_run(self, device: str) -> RunDevice:
        return RunDevice(
            device,
            lane_of(device),
            make_room=partial(self._make_room, device),
            holdings=partial(self.residency.holdings, device),
            room=lambda: self._room(device).memory,
            begin_peak=partial(begin_peak, device),
            peak=partial(peak_of, device),
            resident=partial(self.residency.resident, device=device),
            free=partial(self.residency.free, device),
        )

    def _make_room(self, device: str) -> None:
        self.residency.vacate(device)
        release_memory()


def _memory(device: str) -> DeviceMemory | None:
    if is_in_use(device) and (memory := memory_of(device)):
        return memory
    found = accelerators(device.partition(":")[0]).devices
    total = next((one.memory for one in found if one.device == device), 0)
    return DeviceMemory(total, total) if total else None
