"""Graphs in the formats of other programs: node libraries write them, found by the entry-point group `weft.exports`."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any, Protocol

from weft.engine.errors import InputError
from weft.engine.graph.graph import Graph

GROUP = "weft.exports"


class Exporter(Protocol):
    """Writes graphs in the format of another program."""

    def __call__(self, graph: Graph, catalog: Mapping[str, object]) -> Mapping[str, Any]:
        """The JSON object that the graph is there.

        Args:
            catalog: the node types, by name.

        Raises:
            GraphError: with a problem for each node that has no counterpart.
        """


def exporter(name: str) -> Exporter:
    """What writes graphs in a format.

    Raises:
        InputError: where no installed library has it.
    """
    point = next(iter(entry_points(group=GROUP, name=name)), None)
    if point is None:
        raise InputError(f"no installed library writes the format {name}", "install Weft again")
    found: Exporter = point.load()
    return found
