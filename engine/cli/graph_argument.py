"""The graph that a command line names, with the changes of `--set`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from weft.engine.checking.parameters import read_text, target_type
from weft.engine.cli.output import say_warnings
from weft.engine.errors import GraphError, InputError, Problem
from weft.engine.graph import document
from weft.engine.graph.graph import Graph
from weft.engine.graph_files import as_graph
from weft.engine.limits import Limits
from weft.engine.spec.catalog import Catalog
from weft.engine.unicode_text import is_unicode


def read_graph(name: str, limits: Limits, types: Mapping[str, object] = document.NO_TYPES) -> Graph:
    """Read a graph file, the graph that a picture carries, or stdin (`-`).

    Args:
        types: the node types that classes of another program's graph may be, by name.

    Raises:
        GraphError: with every problem of the document.
    """
    if name == "-":
        return document.read(_from_stdin(limits.max_file_bytes), Path(name), limits.max_file_bytes, types)
    return as_graph(name, limits.max_file_bytes, types)


def whole_part(graph: Graph, partial: bool, json: bool = False) -> Graph:
    """The graph; of another program's, where only a part is wanted, without what is left out, which is reported.

    Args:
        json: whether it is reported as JSON lines too.
    """
    if not (partial and graph.foreign):
        return graph
    say_warnings((replace(one, message=f"left out: {one.message}") for one in graph.faults), json)
    return replace(graph, faults=())


def _as_utf8(argument: str) -> str:
    """An argument in UTF-8, in a locale in which Python does not read it as such."""
    try:
        return argument if is_unicode(argument) else os.fsencode(argument).decode()
    except UnicodeError:
        return argument


def _from_stdin(most: int) -> bytes:
    if sys.stdin is None:  # closed when the process began
        raise InputError("stdin is closed, so no graph can be read from it", "name a graph file", "unreadable-file")
    try:
        content = sys.stdin.buffer.read(most + 1)
    except OSError as fault:
        message = f"stdin cannot be read: {fault.strerror}"
        raise InputError(message, "name a graph file", "unreadable-file") from None
    if len(content) > most:
        raise InputError(f"stdin has more than {most:,} bytes", "raise WEFT_MAX_FILE_BYTES", "unreadable-file")
    return content


def with_changes(graph: Graph, changes: Iterable[str] | None, catalog: Catalog) -> Graph:
    """The graph with each `NAME=VALUE` set.

    A value is taken literally for a text input, and is read as JSON for any other.

    Raises:
        GraphError: with a problem for each change whose name is unknown.
    """
    problems: list[Problem] = []
    for change in changes or ():
        target, equals, text = _as_utf8(change).partition("=")
        try:
            if not equals:
                raise GraphError(
                    [Problem(f"--set {change}: there is no `=` in it", "write NAME=VALUE", code="malformed-value")]
                )
            graph = graph.set(target, read_text(text, target_type(graph, target, catalog)))
        except GraphError as fault:
            problems += (problem.within(str(graph.path or "")) for problem in fault.problems)
    if problems:
        raise GraphError(problems)
    return graph
