"""Modules by recipe and device: loaded when a node asks, pinned while in use, evicted when others need the room.

Room is made before a module is loaded, by the size that the headers of its files say, so a device never holds both.

Recipes that differ in patches alone share the module of their base (`weft.engine.weights.recipes`), which
`weft.engine.weights.resident` patches as each block wants it.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from weft.engine.device import Offload
from weft.engine.errors import InputError
from weft.engine.keys import Digest
from weft.engine.store.codec import content_digest
from weft.engine.types import VALUES, field_values
from weft.engine.weights.device_memory import memory_of
from weft.engine.weights.recipes import Loading, Patch, Recipe, Sources
from weft.engine.weights.relief import Relief, report_relief
from weft.engine.weights.resident import Resident
from weft.engine.weights.streaming import WHOLE, Placing, Streaming

M = TypeVar("M")


@dataclass(frozen=True)
class Holding:
    """Weights on a device.

    Args:
        what: the recipe that they are of.
        used: whether a node uses them now.
    """

    what: str
    size: int
    used: bool


@dataclass
class Residency:
    """Modules by base and device, least recently used first. May be used by several threads.

    Modules are shared. Who changes one otherwise than by a patch has the device's turn
    (`weft.engine.weights.device_lane`), as `Context.weights` does, and restores it before the turn ends.

    Args:
        sources: where content is found.
        budget: bytes of weights to keep on one device; what is pinned may exceed it. None is what the device has, less
            the reserve; on the CPU it is no limit.
        reserve: bytes of a device that are kept for work; None is as `device_memory` says.
        offload: what leaves a device for the host (`weft.engine.device.OFFLOADS`).
        alone: whether all that is not used leaves a device before more is loaded, as where there is least room.
    """

    sources: Sources = field(default_factory=Sources)
    budget: int | None = None
    reserve: int | None = None
    offload: Offload = "auto"
    alone: bool = False
    _held: OrderedDict[tuple[Digest, str], Resident] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @contextmanager
    def hold(
        self,
        recipe: Recipe[M],
        device: str,
        patches: Sequence[Patch[Any]] = (),
        kind: type[Any] = object,
        streaming: Streaming = "none",
    ) -> Iterator[M]:
        """The recipe's module on `device` under its patches, pinned and used by nobody else while the block runs.

        Other threads that want its base wait. Code inside the block may hold the base again, under other patches.

        Args:
            patches: entered after those of the recipe.
            kind: the class that the module must have.
            streaming: the least of its parts that are sent to the device as they run, for one that `streams`.

        Raises:
            InputError: where it has another one, or where a patch does not fit.
        """
        base, loading = recipe.base, Loading(device, self.sources, self.hold)
        key = (content_digest(base), device)
        with self._lock:
            resident = self._held.setdefault(key, Resident(base))
            self._held.move_to_end(key)
            resident.pins += 1
        try:
            placing = Placing(streaming)
            if not resident.on_device:
                if self.alone or self.waits_on_host(device):
                    self.vacate(device)
                size = _size(base, loading)
                self._shrink(device, size)
                placing = self._fitting(base, device, size) if streaming == "none" else placing
            with resident.used(loading, (*recipe.patches, *patches), kind, placing) as module:
                self._shrink(device)
                yield cast(M, module)
        finally:
            with self._lock:
                resident.pins -= 1
                if resident.module is None and not resident.pins:
                    self._held.pop(key, None)
            self._shrink(device)

    def resident(self, values: Iterable[Any], device: str) -> bool:
        """Whether the base of every recipe in `values` has its module on `device`."""
        wanted = {(content_digest(recipe.base), device) for item in values for recipe in recipes_in(item)}
        with self._lock:
            return all(key in self._held and self._held[key].on_device for key in wanted)

    def _shrink(self, device: str, coming: int = 0) -> None:
        """Evict what is unpinned, oldest first, until the device is within its budget.

        Args:
            coming: bytes that are to be loaded, for which there is to be room besides.
        """
        limit = self._limit(device)
        if limit is None:
            return
        evicted = []
        with self._lock:
            used = self._used(device)
            for one in self._unused(device):
                if used + coming <= limit:
                    break
                evicted.append(one)
                used -= one[1].size
        self._evict(evicted)

    def vacate(self, device: str = "") -> None:
        """Evict all that is not in use from a device, or from all."""
        with self._lock:
            evicted = [*self._unused(device)]
        self._evict(evicted)

    def _unused(self, device: str) -> Iterator[tuple[tuple[Digest, str], Resident]]:
        """What is on a device, or on any, and not in use, the least recently used first."""
        for key, resident in self._held.items():
            if device in ("", key[1]) and resident.on_device and not resident.pins:
                yield key, resident

    def waits_on_host(self, device: str) -> bool:
        """Whether modules of a device wait in the host's memory while others run."""
        return device != "cpu" and self.offload in ("model", "group", "sequential")

    def _evict(self, found: Iterable[tuple[tuple[Digest, str], Resident]]) -> None:
        """Take modules from their devices: to the host where they wait there, else out of memory.

        Outside of the lock: patches, which are undone, are code of node libraries.
        """
        for key, resident in found:
            if self.waits_on_host(key[1]) and resident.base.moves:
                resident.move_to_host()
                continue
            with self._lock:
                gone = not resident.pins and self._held.get(key) is resident
                if gone:
                    del self._held[key]
            if gone:
                _leave(resident)

    def _fitting(self, base: Recipe[Any], device: str, size: int) -> Placing:
        """How a module of a size is to lie: whole, or as far as what is pinned leaves room for it."""
        limit = self._limit(device) if base.streams and device != "cpu" and self.offload != "none" else None
        if limit is None:
            return WHOLE
        with self._lock:
            room = max(limit - self._used(device), 0)
        return WHOLE if size <= room else Placing("fitting", room)

    def free(self, device: str) -> int:
        """Bytes that weights may still take on a device; less than nothing where it has no limit and has some."""
        limit = self._limit(device)
        with self._lock:
            return (limit or 0) - self._used(device)

    def _limit(self, device: str) -> int | None:
        """Bytes of weights that the device may hold; None where there is no limit."""
        if self.budget is not None:
            return self.budget
        memory = memory_of(device)
        if memory is None:
            return None
        with self._lock:
            return self._used(device) + memory.free - (memory.reserve if self.reserve is None else self.reserve)

    def _used(self, device: str) -> int:
        return sum(resident.size for (_, where), resident in self._held.items() if where == device)

    def holdings(self, device: str) -> list[Holding]:
        """What the device holds, the largest first."""
        with self._lock:
            found = [
                Holding(repr(one.base), one.size, one.pins > 0) for key, one in self._held.items() if key[1] == device
            ]
        return sorted((one for one in found if one.size), key=lambda one: -one.size)

    def used_on(self, device: str) -> int:
        """Bytes of weights held on a device."""
        with self._lock:
            return self._used(device)

    def clear(self) -> None:
        """Drop everything that is not in use, from devices and from the host."""
        with self._lock:
            evicted = [self._held.pop(key) for key in [*self._held] if not self._held[key].pins]
        for resident in evicted:
            _leave(resident)

    @property
    def used(self) -> int:
        """Bytes of weights held on all devices."""
        with self._lock:
            return sum(resident.size for resident in self._held.values())


def _leave(resident: Resident) -> None:
    """Undo the patches of a module that was dropped. Outside of the lock: patches are code of node libraries."""
    freed = resident.size
    resident.leave()
    if freed:
        report_relief(Relief("evicted", repr(resident.base), freed))


def _size(base: Recipe[Any], loading: Loading) -> int:
    """The bytes that a module will hold; 0 where its files do not say, which its loader then explains."""
    try:
        return base.size(loading)
    except (InputError, OSError):
        return 0


def recipes_in(item: Any) -> Iterator[Recipe[Any]]:
    """The recipes in a value that crosses links."""
    if isinstance(item, Recipe):
        yield item
    elif isinstance(item, (list, tuple)):
        for element in item:
            yield from recipes_in(element)
    elif VALUES.get(type(item).__name__) is type(item):
        yield from recipes_in(tuple(field_values(item).values()))
