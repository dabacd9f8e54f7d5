"""A graph from what names one: a graph file, or a picture that carries its graph."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from weft.engine.errors import GraphError, Problem
from weft.engine.graph import document
from weft.engine.graph.graph import Graph
from weft.engine.picture_text import ENDINGS
from weft.engine.running.delivery import Carried, carried


def as_graph(source: Graph | str | Path, max_bytes: int) -> Graph:
    """The graph itself, or the one in a graph file or in a picture that Weft wrote.

    Args:
        max_bytes: the largest graph file that is read.

    Raises:
        GraphError: with every problem of the document.
    """
    if isinstance(source, Graph):
        return source
    path = Path(source)
    if path.suffix.lower() not in ENDINGS or not path.is_file():
        return document.load(path, max_bytes)
    found = _carried(path, max_bytes)
    if found is None:
        hint = (
            "only pictures that Weft wrote without --no-metadata carry their graph, while no other program removes it"
        )
        raise GraphError([Problem("this picture carries no graph", hint, file=str(source), code="not-a-graph")])
    return replace(document.read(found.graph, path, max_bytes), contents=found.contents)


def _carried(path: Path, max_bytes: int) -> Carried | None:
    try:
        return carried(path, max_bytes)
    except OSError as fault:
        message = f"cannot be read: {fault.strerror}"
        raise GraphError([Problem(message, "check the file", file=str(path), code="unreadable-file")]) from None
