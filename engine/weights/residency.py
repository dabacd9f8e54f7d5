"""Weights on devices: loaded when a node asks, pinned while in use, evicted when others need the room.

A `Recipe` names weights without holding them; it is what crosses links. `Residency.hold` gives its module. Equal
recipes share one module; what they name is found again by content digest (`Loading.locate`), so a recipe is as good in
another process or on another machine.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, cast

from weft.engine.errors import InputError
from weft.engine.keys import Digest
from weft.engine.store.codec import content_digest
from weft.engine.types import VALUES, field_values
from weft.engine.weights.resources import HashedResource, Resolved

M = TypeVar("M")
M_co = TypeVar("M_co", covariant=True)


@dataclass
class Sources:
    """Where the content behind a digest was last seen."""

    _known: dict[str, Resolved] = field(default_factory=dict)

    def learn(self, found: HashedResource) -> None:
        """Remember where a resource lies."""
        if found.resolved.files:
            self._known[found.digest] = found.resolved

    def locate(self, digest: str) -> Resolved:
        """The files with this content.

        Raises:
            InputError: where no graph of this process has named them.
        """
        try:
            return self._known[digest]
        except KeyError:
            raise InputError(
                f"no file with content {digest[:12]} is known here",
                "the node that loads it (LoadCheckpoint, ...) must be in the graph, with its file in reach",
            ) from None


@dataclass(frozen=True)
class Loading:
    """What a recipe needs to build its module."""

    device: str
    sources: Sources

    def locate(self, digest: str) -> Resolved:
        """The files whose content has this digest."""
        return self.sources.locate(digest)


class Recipe(Generic[M_co]):
    """Names a module with its weights: source digest, component, dtype, options; no paths, no tensors.

    How it is loaded is a function of its class, registered by `loader_for`, or a `load` of the class itself.
    """

    def load(self, loading: Loading) -> M_co:
        """Load the module with its weights onto `loading.device`.

        Raises:
            InputError: where no loader is registered for the class.
        """
        loader = next((LOADERS[kind] for kind in type(self).__mro__ if kind in LOADERS), None)
        if loader is None:
            name = type(self).__name__
            raise InputError(f"nothing loads a {name}", "register a function by `loader_for`, or give it a `load`")
        return cast(M_co, loader(self, loading))


R = TypeVar("R", bound=Recipe[Any])

LOADERS: dict[type, Callable[[Any, Loading], Any]] = {}
"""The function that loads each class of recipes; a subclass without one is loaded as its base is."""


def loader_for(kind: type[R]) -> Callable[[Callable[[R, Loading], M]], Callable[[R, Loading], M]]:
    """Register the decorated function as what loads recipes of a class: from the recipe, onto `loading.device`."""

    def register(loader: Callable[[R, Loading], M]) -> Callable[[R, Loading], M]:
        LOADERS[kind] = loader
        return loader

    return register


_LIBRARIES = threading.RLock()
"""Held while anything is loaded. Loading through diffusers and transformers switches state of the process (torch's
default dtype, functions that initialise or register parameters), so no two loads overlap, on two devices either."""


@dataclass(eq=False)
class _Resident:
    """A module on a device; `module` is None until it is loaded."""

    module: Any = None
    size: int = 0
    pins: int = 0
    loading: threading.Lock = field(default_factory=threading.Lock)


@dataclass
class Residency:
    """Modules by recipe and device, least recently used first. May be used by several threads.

    Modules are shared: who holds one and changes it has the device's turn (`weft.engine.weights.device_lane`), as
    `Context.weights` does, and restores it before the turn ends.

    Args:
        sources: where content is found.
        budget: bytes of weights to keep on one device; what is pinned may exceed it. None keeps everything.
    """

    sources: Sources = field(default_factory=Sources)
    budget: int | None = None
    _held: OrderedDict[tuple[Digest, str], _Resident] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @contextmanager
    def hold(self, recipe: Recipe[M], device: str) -> Iterator[M]:
        """The recipe's module on `device`, pinned while the block runs; threads that want it at once load it once."""
        key = (content_digest(recipe), device)
        with self._lock:
            resident = self._held.setdefault(key, _Resident())
            self._held.move_to_end(key)
            resident.pins += 1
        try:
            yield cast(M, self._loaded(resident, recipe, device))
        finally:
            with self._lock:
                resident.pins -= 1
                if resident.module is None and not resident.pins:
                    self._held.pop(key, None)
                self._shrink(device)

    def resident(self, values: Iterable[Any], device: str) -> bool:
        """Whether every recipe in `values` has its module on `device`."""
        wanted = {(content_digest(recipe), device) for item in values for recipe in _recipes(item)}
        with self._lock:
            return all(key in self._held and self._held[key].module is not None for key in wanted)

    def _loaded(self, resident: _Resident, recipe: Recipe[Any], device: str) -> Any:
        """The module, loaded where it is not; others may use the residency meanwhile."""
        with resident.loading:
            if resident.module is None:
                with _LIBRARIES:
                    module = recipe.load(Loading(device, self.sources))
                with self._lock:
                    resident.module, resident.size = module, _bytes(module)
                    self._shrink(device)
        return resident.module

    def _shrink(self, device: str) -> None:
        """Evict what is unpinned, oldest first, until the device is within its budget."""
        if self.budget is None:
            return
        used = sum(resident.size for (_, where), resident in self._held.items() if where == device)
        for key in [key for key, resident in self._held.items() if key[1] == device and not resident.pins]:
            if used <= self.budget:
                break
            used -= self._held.pop(key).size

    def clear(self) -> None:
        """Evict everything that is not in use."""
        with self._lock:
            for key in [key for key, resident in self._held.items() if not resident.pins]:
                del self._held[key]

    @property
    def used(self) -> int:
        """Bytes of weights held on all devices."""
        with self._lock:
            return sum(resident.size for resident in self._held.values())


def _recipes(item: Any) -> Iterator[Recipe[Any]]:
    """The recipes in a value that crosses links."""
    if isinstance(item, Recipe):
        yield item
    elif isinstance(item, (list, tuple)):
        for element in item:
            yield from _recipes(element)
    elif VALUES.get(type(item).__name__) is type(item):
        yield from _recipes(tuple(field_values(item).values()))


def _bytes(module: Any) -> int:
    """The size of the parameters and buffers of a torch module, in bytes; 0 for anything else.

    An object that is not a module lists those that it has as `networks`.
    """
    networks = [one for one in getattr(module, "networks", (module,)) if hasattr(one, "parameters")]
    tensors = [tensor for one in networks for tensor in (*one.parameters(), *one.buffers())]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
