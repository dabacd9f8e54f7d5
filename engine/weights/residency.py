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

from weft.engine.errors import InputError
from weft.engine.keys import Digest
from weft.engine.store.codec import content_digest
from weft.engine.types import VALUES, field_values
from weft.engine.weights.device_memory import memory_of
from weft.engine.weights.recipes import Loading, Patch, Recipe, Sources
from weft.engine.weights.relief import Relief, report_relief
from weft.engine.weights.resident import Resident

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
    """

    sources: Sources = field(default_factory=Sources)
    budget: int | None = None
    reserve: int | None = None
    _held: OrderedDict[tuple[Digest, str], Resident] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @contextmanager
    def hold(
        self, recipe: Recipe[M], device: str, patches: Sequence[Patch[Any]] = (), kind: type[Any] = object
    ) -> Iterator[M]:
        """The recipe's module on `device` under its patches, pinned and used by nobody else while the block runs.

        Other threads that want its base wait. Code inside the block may hold the base again, under other patches.

        Args:
            patches: entered after those of the recipe.
            kind: the class that the module must have.

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
            if resident.module is None:
                self._shrink(device, _size(base, loading))
            with resident.used(loading, (*recipe.patches, *patches), kind) as module:
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
        wanted = {(content_digest(recipe.base), device) for item in values for recipe in _recipes(item)}
        with self._lock:
            return all(key in self._held and self._held[key].module is not None for key in wanted)

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
            for key in [key for key, resident in self._held.items() if key[1] == device and not resident.pins]:
                if used + coming <= limit:
                    break
                evicted.append(self._held.pop(key))
                used -= evicted[-1].size
        _leave(evicted)

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

    def clear(self) -> None:
        """Evict everything that is not in use."""
        with self._lock:
            evicted = [self._held.pop(key) for key in [*self._held] if not self._held[key].pins]
        _leave(evicted)

    @property
    def used(self) -> int:
        """Bytes of weights held on all devices."""
        with self._lock:
            return sum(resident.size for resident in self._held.values())


def _leave(evicted: Sequence[Resident]) -> None:
    """Undo the patches of modules that were evicted. Outside of the lock: patches are code of node libraries."""
    for resident in evicted:
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


def _recipes(item: Any) -> Iterator[Recipe[Any]]:
    """The recipes in a value that crosses links."""
    if isinstance(item, Recipe):
        yield item
    elif isinstance(item, (list, tuple)):
        for element in item:
            yield from _recipes(element)
    elif VALUES.get(type(item).__name__) is type(item):
        yield from _recipes(tuple(field_values(item).values()))
