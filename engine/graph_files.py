"""A graph from what names one: a graph file, a picture that carries its graph, or the name of a graph that ships."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from weft.engine.errors import GraphError, InputError, Problem
from weft.engine.graph import document
from weft.engine.graph.graph import Graph
from weft.engine.shipped_graphs import shipped_graph


def as_graph(source: Graph | str | Path, max_bytes: int, types: Mapping[str, object] = document.NO_TYPES) -> Graph:
    """The graph itself, or the one in a graph file, in a picture that Weft wrote, or that comes with Weft.

    Args:
        max_bytes: the largest graph file that is read.
        types: the node types that classes of another program's graph may be, by name.

    Raises:
        GraphError: with every problem of the document.
    """
    if isinstance(source, Graph):
        return source
    path = Path(source)
    if not os.path.lexists(path):
        return _shipped(str(source))
    return document.load(path, max_bytes, types)


def _shipped(name: str) -> Graph:
    """The graph that comes with Weft under a name that is no file's.

    Raises:
        GraphError: where none does.
    """
    try:
        return shipped_graph(name).graph()
    except InputError as fault:
        hint = _copied(name) or document.neighbour(Path(name)) or fault.hint
        message = "there is no such file, and no graph of this name comes with Weft"
        raise GraphError([Problem(message, hint, file=name, code="unreadable-file")]) from None


def _copied(file: str) -> str:
    """The hint for the file of a graph that ships, where it is not there: `text_to_image.json`."""
    try:
        known = shipped_graph(Path(file).with_suffix("").as_posix().removeprefix("graphs/"))
    except InputError:
        return ""
    return f"`weft new {known.name}` writes one; `weft run {known.name}` runs it as it comes with Weft"
