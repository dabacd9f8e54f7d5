"""The graph that a command line names, with the changes of `--set`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from weft.engine.checking.parameters import target_input
from weft.engine.errors import GraphError, Problem
from weft.engine.graph import document
from weft.engine.graph.graph import Graph
from weft.engine.graph_files import as_graph
from weft.engine.limits import Limits
from weft.engine.spec.catalog import Catalog
from weft.engine.types import Choice, Either, Scalar, Type


def read_graph(name: str, limits: Limits) -> Graph:
    """Read a graph file, the graph that a picture carries, or stdin (`-`).

    Raises:
        GraphError: with every problem of the document.
    """
    if name == "-":
        return document.read(sys.stdin.buffer.read(), Path(name))
    return as_graph(name, limits.max_file_bytes)


def with_changes(graph: Graph, changes: Iterable[str] | None, catalog: Catalog) -> Graph:
    """The graph with each `NAME=VALUE` set.

    A value is taken literally for a text input, and is read as JSON for any other.

    Raises:
        GraphError: with a problem for each change whose name is unknown.
    """
    problems: list[Problem] = []
    for change in changes or ():
        target, equals, text = change.partition("=")
        try:
            if not equals:
                raise GraphError(
                    [Problem(f"--set {change}: there is no `=` in it", "write NAME=VALUE", code="malformed-value")]
                )
            graph = graph.set(target, _literal(text, _wanted(graph, target, catalog)))
        except GraphError as fault:
            problems += (problem.within(str(graph.path or "")) for problem in fault.problems)
    if problems:
        raise GraphError(problems)
    return graph


def _wanted(graph: Graph, target: str, catalog: Catalog) -> Type | None:
    """The type of the input or parameter `target`; None if it is not known."""
    parameter = graph.parameters.get(target)
    if parameter and parameter.type in ("int", "float", "bool", "str"):
        return Scalar(parameter.type)
    one = target_input(graph, target, catalog)
    return one.type if one else None


def _literal(text: str, wanted: Type | None) -> Any:
    if wanted is not None and _is_text(wanted):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _is_text(wanted: Type) -> bool:
    if isinstance(wanted, Either):
        return any(map(_is_text, wanted.options))
    return isinstance(wanted, Choice) or wanted == Scalar("str")
