"""A graph from what names one: a graph file, or a picture that carries its graph."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from weft.engine.errors import GraphError, Problem
from weft.engine.graph import document
from weft.engine.graph.graph import Graph
from weft.engine.running.delivery import carried


def as_graph(source: Graph | str | Path, max_bytes: int) -> Graph:
    """The graph itself, or the one in a graph file or in a PNG that Weft wrote.

    Args:
        max_bytes: the largest graph file that is read.

    Raises:
        GraphError: with every problem of the document.
    """
    if isinstance(source, Graph):
        return source
    path = Path(source)
    if path.suffix.lower() != ".png" or not path.is_file():
        return document.load(path, max_bytes)
    found = carried(path)
    if found is None:
        hint = "only pictures that Weft wrote without --no-metadata carry their graph"
        raise GraphError([Problem("this picture carries no graph", hint, file=str(source), code="not-a-graph")])
    return replace(document.read(found.graph, path, max_bytes), contents=found.contents)
