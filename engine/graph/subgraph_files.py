"""Graph files that `file:` nodes name: found, and read once, so that all parts of one run see the same content."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from weft.engine.errors import InputError
from weft.engine.graph.document import load
from weft.engine.graph.graph import Graph
from weft.engine.limits import Limits
from weft.engine.weights.resources import SearchPaths, find


@dataclass
class SubgraphFiles:
    """Graph files by the names that graphs give them.

    Args:
        places: where they are looked up, after the folder of the graph that names them.
        limits: all files together have `max_file_bytes` at most.
    """

    places: SearchPaths
    limits: Limits
    _paths: dict[tuple[Path | None, str], Path] = field(default_factory=dict, repr=False)
    _graphs: dict[Path, Graph] = field(default_factory=dict, repr=False)
    _bytes: int = 0

    def find(self, graph: Graph, name: str) -> tuple[Path, Graph] | None:
        """The file that a node of `graph` names, and the graph in it; None where there is none.

        Raises:
            InputError: where it lies outside the folders that may be read.
            GraphError: where it cannot be read.
        """
        base = graph.path.parent if graph.path else self.places.base
        path = self._paths.get((base, name))
        if path is None:
            found = find(name, replace(self.places, base=base).files)
            if found is None:
                return None
            path = self._paths[base, name] = found.resolve()
            if not path.is_file():  # a pipe would be waited for
                raise InputError(f"`{name}` is no file", "name a graph file", "unreadable-file")
        if path not in self._graphs:
            self._graphs[path] = load(path, self.limits.max_file_bytes - self._bytes)
            self._bytes += path.stat().st_size if path.exists() else 0
        return path, self._graphs[path]
