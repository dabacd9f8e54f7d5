"""Graph files of other programs: node libraries read them, found by the entry-point group `weft.formats`.

An entry point names a function of the form of `ForeignReader`. None is imported before a file that is no graph file of
Weft's is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Protocol

from weft.engine.errors import CatalogError, described
from weft.engine.interrupts import is_interrupt

GROUP = "weft.formats"

CARRIED = "weft.carried"
"""The group of functions that bring the texts of other programs, which pictures carry, up to the values of a graph."""


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


class CarriedReader(Protocol):
    """Gives the texts that pictures of a graph carry."""

    def __call__(self, graph: Any, types: Mapping[str, object]) -> Mapping[str, str]:
        """Those of a `Graph` with its values, without those that cannot say them."""


def carried_texts(graph: Any, types: Mapping[str, object]) -> Mapping[str, str]:
    """The texts of other programs that pictures of a `Graph` carry, with the values that it has by now.

    Raises:
        CatalogError: where a library cannot be imported.
    """
    found: Mapping[str, str] = graph.carries
    for point in sorted(entry_points(group=CARRIED), key=lambda point: point.value) if found else ():
        reader: CarriedReader = _loaded(point, "what pictures carry")
        found = reader(graph, types)
    return found


def _loaded(point: EntryPoint, what: str) -> Any:
    """What an entry point names.

    Raises:
        CatalogError: where it cannot be imported.
    """
    try:
        return point.load()
    except BaseException as fault:
        if is_interrupt(fault):
            raise
        raise CatalogError(f"{what} {point.value} cannot be imported: {described(fault)}") from fault


def foreign_graph(tree: Mapping[str, Any], path: Path | None, types: Mapping[str, object]) -> object | None:
    """The `Graph` that another program's file describes; None where no installed library knows it.

    Args:
        types: the node types that classes of the program may be, by name.

    Raises:
        GraphError: where a library knows the format, and cannot read this file.
        CatalogError: where a library cannot be imported.
    """
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.value):
        reader: ForeignReader = _loaded(point, "the graph format")
        if (found := reader(tree, path, types)) is not None:
            return found
    return None
