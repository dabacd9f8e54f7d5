"""Graph files of other programs: node libraries read them, found by the entry-point group `weft.formats`.

An entry point names a function of the form of `ForeignReader`. None is imported before a file that is no graph file of
Weft's is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Protocol

from weft.engine.errors import CatalogError, described
from weft.engine.interrupts import is_interrupt

GROUP = "weft.formats"


class ForeignReader(Protocol):
    """Reads graph files of another program."""

    def __call__(self, tree: Mapping[str, Any], path: Path | None, types: Mapping[str, object]) -> object | None:
        """The `Graph` that a JSON object of another program describes; None where it is none of this program's.

        What has no counterpart is left out of the graph, with a problem for each in its `faults`.

        Args:
            path: the file that it comes from.
            types: the node types of the user's own, by name, that classes of the program may be.

        Raises:
            GraphError: where nothing of it can be read.
        """


def foreign_graph(tree: Mapping[str, Any], path: Path | None, types: Mapping[str, object]) -> object | None:
    """The `Graph` that another program's file describes; None where no installed library knows it.

    Args:
        types: the node types that classes of the program may be, by name.

    Raises:
        GraphError: where a library knows the format, and cannot read this file.
        CatalogError: where a library cannot be imported.
    """
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.value):
        try:
            reader: ForeignReader = point.load()
        except BaseException as fault:
            if is_interrupt(fault):
                raise
            raise CatalogError(f"the graph format {point.value} cannot be imported: {described(fault)}") from fault
        if (found := reader(tree, path, types)) is not None:
            return found
    return None
