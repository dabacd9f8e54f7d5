"""Node classes that are written for another program, as node types: node libraries read them (`weft.classes`).

An entry point of the group names a function of the form of `ClassReader`. None is imported unless the user names a
folder with classes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Protocol

from weft.engine.errors import CatalogError, described
from weft.engine.file_stamp import FileStamp
from weft.engine.interrupts import is_interrupt
from weft.engine.spec.catalog import Catalog
from weft.engine.spec.node import NodeType

GROUP = "weft.classes"


class ClassReader(Protocol):
    """Makes node types of the classes in folders, whose code it runs."""

    def __call__(self, folders: Sequence[Path], read: dict[Path, FileStamp | None]) -> Iterable[NodeType]:
        """The node types of the classes.

        Args:
            read: gets every file that was read.

        Raises:
            CatalogError: where a folder has no classes.
        """


def joined_with_classes(catalog: Catalog, folders: Sequence[Path], read: dict[Path, FileStamp | None]) -> Catalog:
    """A catalogue and the node types of the classes in folders.

    Args:
        read: gets every file that was read.

    Raises:
        CatalogError: where a folder has no classes, no library reads them, or a type has the name of another.
    """
    points = sorted(entry_points(group=GROUP), key=lambda point: point.value)
    if not points:
        raise CatalogError("--comfy-nodes: no installed node library reads classes (install weft-engine again)")
    for point in points:
        try:
            reader: ClassReader = point.load()
        except BaseException as fault:
            if is_interrupt(fault):
                raise
            raise CatalogError(f"{point.value} cannot be imported: {described(fault)}") from fault
        catalog = catalog.joined(reader(folders, read), ", ".join(map(str, folders)))
    return catalog
