"""The graphs that a server offers: files of a folder, read again when they change; without a folder those that ship."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from weft.engine.errors import GraphError, Problem, nearest
from weft.engine.file_stamp import FileStamp
from weft.engine.graph import document
from weft.engine.graph.graph import Graph
from weft.engine.shipped_graphs import shipped

GRAPH_NAME = re.compile(r"[A-Za-z0-9_+-][\w.+-]*(/[A-Za-z0-9_+-][\w.+-]*)*\Z", re.ASCII)
"""Names of graphs that are offered: paths without the ending; no spaces, which addresses would have to escape, and no
hidden files."""


PARTS = ("runs", "drawing", "picture.svg")
"""What the address of a graph may go on with, so that no name of a graph in a folder ends in one."""

MOST_CHARACTERS = 200
"""Of the name of a graph."""


@dataclass
class GraphFolder:
    """Graphs by name: the path in the folder without `.json`, as `weft graphs` names those that ship.

    Args:
        folder: None offers the graphs that ship.
    """

    folder: Path | None = None
    _read: dict[Path, tuple[FileStamp, Graph | None]] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def paths(self) -> Mapping[str, Path]:
        """The files by name; among them may be some that are no graphs."""
        if self.folder is None:
            return {name: path for name, path in _shipped().items() if _can_be(name)}
        root = self.folder.resolve()
        named = {path.relative_to(root).with_suffix("").as_posix(): path for path in sorted(root.rglob("*.json"))}
        return {name: path for name, path in named.items() if _can_be(name) and path.is_file()}

    def path(self, name: str) -> Path | None:
        """The file of a graph; None where there is none."""
        if not _can_be(name):
            return None
        if self.folder is None:
            return _shipped().get(name)
        path = self.folder.resolve() / f"{name}.json"
        return path if path.is_file() else None

    def all(self) -> Mapping[str, Graph]:
        """Every graph by name; jobs and files that are no graphs are left out."""
        found = {name: self._graph(path) for name, path in self.paths().items()}
        return {name: graph for name, graph in found.items() if graph is not None}

    def get(self, name: str) -> Graph:
        """The graph of a name.

        Raises:
            GraphError: where there is none.
        """
        path = self.path(name)
        graph = self._graph(path) if path else None
        if graph is None:
            hint = nearest(name, self.paths()) or "GET /api/graphs lists them"
            raise GraphError([Problem(f"there is no graph `{name[:80]}` here", hint, code="unknown-graph")])
        return graph

    def _graph(self, path: Path) -> Graph | None:
        """What a file says, read again where it was changed; None where it is no graph."""
        try:
            stamp = FileStamp.of(path.stat())
        except OSError:
            return None
        with self._lock:
            if (known := self._read.get(path)) and known[0] == stamp:
                return known[1]
        graph = None
        with suppress(GraphError):
            graph = document.load(path)
        with self._lock:
            self._read[path] = stamp, graph
        return graph


def _can_be(name: str) -> bool:
    """Whether a graph may have a name."""
    if len(name) > MOST_CHARACTERS or not GRAPH_NAME.match(name):
        return False
    folder, _, last = name.rpartition("/")
    return not folder or last not in PARTS


@cache
def _shipped() -> Mapping[str, Path]:
    """The files that ship; those of installed libraries do not change while a server runs."""
    return {name: one.path for name, one in shipped().items()}
