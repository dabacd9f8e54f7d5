"""The node types that are installed, found by the entry-point group `weft.nodes`; those of files: `spec.node_files`.

A library whose module has a `__getattr__` (PEP 562) is imported in parts: the module of a node type when a graph names
it. Only what needs all types, such as a list of them, imports all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from itertools import chain
from types import ModuleType

from weft.engine.errors import CatalogError, described, nearest
from weft.engine.graph.graph import Graph
from weft.engine.interrupts import is_interrupt
from weft.engine.spec.control_flow import TYPES
from weft.engine.spec.node import NodeType

GROUP = "weft.nodes"

_ALIKE = 0.72
"""The least similarity of a type that is suggested: names that share a verb alone, LoadVAE and LoadLoRA, have less."""


@dataclass(frozen=True)
class LazyLibrary:
    """A node library that imports the module of a node type when the type is asked for.

    Args:
        names: what it exports, node types and other things.
        point: its entry point, for messages.
    """

    module: ModuleType
    names: frozenset[str]
    point: str

    def get(self, name: str) -> NodeType | None:
        """The node type of this name.

        Raises:
            CatalogError: where its module cannot be imported.
        """
        if name not in self.names:
            return None
        with _import_faults(self.point):
            item = getattr(self.module, name)
        return item if isinstance(item, NodeType) and item.name == name else None


@dataclass(frozen=True, eq=False)
class Catalog(Mapping[str, NodeType]):
    """Node types by name.

    Args:
        types: those that are imported.
        libraries: where the others are.
    """

    types: Mapping[str, NodeType] = field(default_factory=dict)
    libraries: tuple[LazyLibrary, ...] = ()

    def __getitem__(self, name: str) -> NodeType:
        found = self.types.get(name) or next(filter(None, (one.get(name) for one in self.libraries)), None)
        if found is None:
            raise KeyError(name)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    @cached_property
    def _all(self) -> Mapping[str, NodeType]:
        found = ((name, one.get(name)) for one in self.libraries for name in sorted(one.names))
        return {**{name: type for name, type in found if type is not None}, **self.types}

    def suggest(self, name: str) -> str:
        """The hint for an unknown type: the nearest name, or where to look."""
        near = nearest(name, self, least=_ALIKE)
        own = "--nodes FILE.py adds your own, --comfy-nodes DIR those for ComfyUI"
        return near or f"`weft nodes WORD` searches the node types; {own}"

    def including(self, graph: Graph) -> Catalog:
        """This catalogue and the node types that a graph was composed with in Python."""
        own = {name: type for name, type in graph.types.items() if isinstance(type, NodeType)}
        return replace(self, types={**self.types, **own}) if own else self

    def joined(self, types: Iterable[NodeType], source: str) -> Catalog:
        """This catalogue and more types.

        Raises:
            CatalogError: where a different type has a name already.
        """
        known = dict(self.types)
        for type in types:
            _refuse_another(self.get(type.name) or known.get(type.name), type, source)
            known[type.name] = type
        return replace(self, types=known)

    def with_library(self, module: ModuleType, point: str) -> Catalog:
        """This catalogue and the types of a library.

        Raises:
            CatalogError: where a different type has a name already.
        """
        if not {"__getattr__", "__all__"} <= vars(module).keys():
            return self.joined(types_of(module), point)
        library = LazyLibrary(module, frozenset(module.__all__), point)
        for name in library.names.intersection(chain(self.types, *(one.names for one in self.libraries))):
            _refuse_another(self.get(name), library.get(name), point)
        return replace(self, libraries=(*self.libraries, library))


def _refuse_another(known: NodeType | None, type: NodeType | None, source: str) -> None:
    if known is not None and type is not None and known.function is not type.function:
        raise CatalogError(f"{source}: there is a node type {type.name} already; rename the function")


def installed() -> Catalog:
    """The graph language's node types and those of every installed library.

    Raises:
        CatalogError: where a library cannot be imported or two of them share a name.
    """
    catalog = Catalog(TYPES)
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.value):
        catalog = catalog.with_library(_imported(point), point.value)
    return catalog


def _imported(point: EntryPoint) -> ModuleType:
    with _import_faults(point.value):
        module = point.load()
    if not isinstance(module, ModuleType):
        raise CatalogError(f"the node library {point.value} is no module")
    return module


@contextmanager
def _import_faults(library: str) -> Iterator[None]:
    """Raise what importing a library raises as an error that names it."""
    try:
        yield
    except BaseException as fault:
        if is_interrupt(fault):
            raise
        raise CatalogError(f"the node library {library} cannot be imported: {described(fault)}") from fault


def types_of(module: ModuleType) -> list[NodeType]:
    """The node types that a module has by name, in the order in which it has them."""
    found = (item for item in vars(module).values() if isinstance(item, NodeType))
    return list({type.name: type for type in found}.values())
