"""The node types that are installed, found by the entry-point group `weft.nodes`; those of files: `spec.node_files`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
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
class Catalog(Mapping[str, NodeType]):
    """Node types by name."""

    types: Mapping[str, NodeType] = field(default_factory=dict)

    def __getitem__(self, name: str) -> NodeType:
        return self.types[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.types)

    def __len__(self) -> int:
        return len(self.types)

    def suggest(self, name: str) -> str:
        """The hint for an unknown type: the nearest name, or where to look."""
        near = nearest(name, self.types, least=_ALIKE)
        return near or "`weft nodes WORD` searches the node types; --nodes FILE.py adds your own"

    def including(self, graph: Graph) -> Catalog:
        """This catalogue and the node types that a graph was composed with in Python."""
        own = {name: type for name, type in graph.types.items() if isinstance(type, NodeType)}
        return Catalog({**self.types, **own}) if own else self

    def joined(self, types: Iterable[NodeType], source: str) -> Catalog:
        """This catalogue and more types.

        Raises:
            CatalogError: where a different type has a name already.
        """
        known = dict(self.types)
        for type in types:
            if known.setdefault(type.name, type).function is not type.function:
                raise CatalogError(f"{source}: there is a node type {type.name} already; rename the function")
            known[type.name] = type
        return Catalog(known)


def installed() -> Catalog:
    """The graph language's node types and those of every installed library.

    Raises:
        CatalogError: where a library cannot be imported or two of them share a name.
    """
    catalog = Catalog(TYPES)
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.value):
        catalog = catalog.joined(types_of(_imported(point)), point.value)
    return catalog


def _imported(point: EntryPoint) -> ModuleType:
    try:
        module = point.load()
    except BaseException as fault:
        if is_interrupt(fault):
            raise
        raise CatalogError(f"the node library {point.value} cannot be imported: {described(fault)}") from fault
    if not isinstance(module, ModuleType):
        raise CatalogError(f"the node library {point.value} is no module")
    return module


def types_of(module: ModuleType) -> list[NodeType]:
    """The node types that a module has by name, in the order in which it has them."""
    found = (item for item in vars(module).values() if isinstance(item, NodeType))
    return list({type.name: type for type in found}.values())
