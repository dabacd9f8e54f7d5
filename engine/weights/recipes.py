"""Recipes and patches: values that name weights and changes to them, and hold neither paths nor tensors.

A `Recipe` is a base and patches. Equal bases share one module on a device; what they name is found by content digest
(`Loading.locate`), so a recipe can be used in another process or on another machine. A `Patch` changes a loaded module
and undoes that exactly. Read next: `weft.engine.weights.resident`, which keeps a module and enters its patches.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any, ClassVar, Generic, TypeVar, cast

from weft.engine.errors import InputError
from weft.engine.weights.resources import HashedResource, Resolved

M = TypeVar("M")
M_co = TypeVar("M_co", covariant=True)
M_contra = TypeVar("M_contra", contravariant=True)

Undo = Callable[[], None]
"""Takes back one change to a module."""


@dataclass(frozen=True)
class RestoreWeights:
    """An undo that puts back numbers in the module and nothing else, which is left out where the module is dropped."""

    restore: Undo

    def __call__(self) -> None:
        self.restore()


@dataclass
class Sources:
    """Where the content behind a digest was last seen.

    Args:
        verify: raises `ChangedFile` where the files of a resource are no longer what they were when they were hashed.
    """

    verify: Callable[[HashedResource], None] = lambda found: None
    _known: dict[str, HashedResource] = field(default_factory=dict)
    _located: list[HashedResource] = field(default_factory=list)

    def learn(self, found: HashedResource) -> None:
        """Remember where a resource lies."""
        if found.resolved.files:
            self._known[found.digest] = found

    def locate(self, digest: str) -> Resolved:
        """The files with this content.

        Raises:
            InputError: where no graph of this process has named them.
        """
        try:
            found = self._known[digest]
        except KeyError:
            raise InputError(
                f"no file with content {digest[:12]} is known here",
                "the node that loads it (LoadCheckpoint, ...) must be in the graph, with its file in reach",
                "missing-file",
            ) from None
        self._located.append(found)
        return found.resolved

    @contextmanager
    def unchanged(self) -> Iterator[Sources]:
        """The same sources, for a block that reads the files which it locates with them.

        Raises:
            ChangedFile: at the end of the block, where one of these files was changed before or while it was read.
        """
        sources = replace(self, _located=[])
        try:
            yield sources
        finally:
            for found in sources._located:
                self.verify(found)


@dataclass(frozen=True)
class Loading:
    """What a recipe needs to build its module, and a patch to enter it.

    Args:
        hold: gives the module of another recipe on a device and keeps it there; None loads it.
        base: for a patch, the recipe of the module that it is entered into, without patches.
    """

    device: str
    sources: Sources
    hold: Callable[[Recipe[Any], str], AbstractContextManager[Any]] | None = field(default=None, repr=False)
    base: Recipe[Any] | None = field(default=None, repr=False)

    def locate(self, digest: str) -> Resolved:
        """The files whose content has this digest."""
        return self.sources.locate(digest)

    def weights(self, recipe: Recipe[M]) -> AbstractContextManager[M]:
        """The module of another recipe on the same device: the tensors of a patch, which its strengths share.

        For a patch the residency keeps it like every other module. A loader gets a module of its own.
        """
        return self.hold(recipe, self.device) if self.hold else nullcontext(recipe.load(self))


class Patch(ABC, Generic[M_contra]):
    """A change to a loaded module that can be undone exactly: a LoRA, learned words, tiles, attention processors.

    A subclass is a frozen dataclass under `@value`; equal values are the same patch. It names tensors by recipes
    (`Loading.weights`) and holds none, so that a recipe that has it in a field stays small.
    """

    @abstractmethod
    def enter(self, module: M_contra, loading: Loading) -> Undo:
        """Change the module in place; gives the function that restores what was there, bit for bit.

        The module stays patched after the block that wanted it, until other patches are wanted. Patches are undone in
        the reverse of the order in which they were entered. Keep what is overwritten, never subtract: in floating point
        `(weight + change) - change` is another weight.

        Raises:
            InputError: where the patch does not fit the module; raised before anything is changed. After any other
                exception the module is loaded again.
        """


class Recipe(Generic[M_co]):
    """Names a module with its weights: source digest, component, dtype, options; no paths, no tensors.

    How it is loaded is a function of its class, registered by `loader_for`, or a `load` of the class itself.

    Attributes:
        moves: whether its module may be moved to another device: it lists `networks`, modules of torch, and has no
            other tensors on its device.
        streams: whether, besides, parts of these may be sent to the device as they run, since they are called as
            modules (`weft.engine.weights.streaming`).
    """

    moves: ClassVar[bool] = False
    streams: ClassVar[bool] = False

    @property
    def base(self) -> Recipe[M_co]:
        """The same without patches: what is loaded, and kept once for all recipes that differ in patches alone."""
        return self

    @property
    def patches(self) -> tuple[Patch[Any], ...]:
        """The changes to the module of `base`, in the order in which they are made."""
        return ()

    def load(self, loading: Loading) -> M_co:
        """Load the module with its weights onto `loading.device`; only called for a `base`.

        Raises:
            InputError: where no loader is registered for the class.
        """
        _import_loaders()
        loader = next((LOADERS[kind] for kind in type(self).__mro__ if kind in LOADERS), None)
        if loader is None:
            name = type(self).__name__
            hint = "register a function by `loader_for`, or give it a `load`"
            raise InputError(f"nothing loads a {name}", hint, "no-loader")
        return cast(M_co, loader(self, loading))

    def size(self, loading: Loading) -> int:
        """Bytes that the module will hold, from the headers of its files; 0 where that cannot be known before."""
        _import_loaders()
        sizes = (SIZES[kind](self, loading) for kind in type(self).__mro__ if kind in SIZES)
        return next(sizes, 0)


R = TypeVar("R", bound=Recipe[Any])

LOADERS: dict[type, Callable[[Any, Loading], Any]] = {}
"""The function that loads each class of recipes; a subclass without one is loaded as its base is."""

_LOADER_MODULES: dict[str, None] = {}


def _import_loaders() -> None:
    for module in _LOADER_MODULES:
        import_module(module)


def loaders_in(*modules: str) -> None:
    """Name the modules of a library that register loaders, which are imported before the first one is used."""
    _LOADER_MODULES.update(dict.fromkeys(modules))


def loader_for(kind: type[R]) -> Callable[[Callable[[R, Loading], M]], Callable[[R, Loading], M]]:
    """Register the decorated function as what loads recipes of a class: from the recipe, onto `loading.device`."""

    def register(loader: Callable[[R, Loading], M]) -> Callable[[R, Loading], M]:
        LOADERS[kind] = loader
        return loader

    return register


SIZES: dict[type, Callable[[Any, Loading], int]] = {}
"""The function that knows how large modules of each class of recipes will be."""


def size_for(kind: type[R]) -> Callable[[Callable[[R, Loading], int]], Callable[[R, Loading], int]]:
    """Register the decorated function as what knows the bytes of a module before it is loaded."""

    def register(size: Callable[[R, Loading], int]) -> Callable[[R, Loading], int]:
        SIZES[kind] = size
        return size

    return register
