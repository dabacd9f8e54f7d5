"""Turns what a caller asks for into a checked request: a graph of the server or one that was posted, with values set.

All that decides whether it can run is found here, before it is written down: the same problems as `weft check` finds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from weft.engine.checking.checker import Checked
from weft.engine.errors import GraphError, Problem, listed, nearest, printable
from weft.engine.graph import document
from weft.engine.graph.bundle import self_contained
from weft.engine.graph.graph import Graph
from weft.engine.keys import digest
from weft.engine.serve.graph_folder import GraphFolder
from weft.engine.serve.served_run import RunRequest
from weft.engine.unicode_text import exact_json
from weft.engine.workspace import Workspace


@dataclass(frozen=True)
class Asked:
    """A request before it is checked.

    Args:
        graph: the name of a graph of the server, or a graph document as JSON values.
        only: the nodes to run instead of every sink and output.
    """

    graph: str | Mapping[str, Any]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    only: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name of the server's graph; empty for one that was posted."""
        return self.graph if isinstance(self.graph, str) else ""


@dataclass(frozen=True)
class Admission:
    """Checks requests.

    Args:
        workspace: what graphs are checked with.
        graphs: the server's own.
        allowed: the node types, and categories of such, that graphs which are posted may have; empty allows all.
    """

    workspace: Workspace
    graphs: GraphFolder
    allowed: frozenset[str] = frozenset()

    def graph(self, asked: Asked) -> Graph:
        """The graph with its parameters set.

        Raises:
            GraphError: where the document is none, or a parameter is not there.
        """
        if isinstance(asked.graph, str):
            graph = self.graphs.get(asked.graph)
        else:
            graph = document.read(exact_json(asked.graph), None, self.workspace.limits.max_file_bytes)
        problems = [_unknown(name, graph) for name in asked.parameters if name not in graph.parameters]
        if problems:
            raise GraphError(problems)
        return graph.replace(asked.parameters)

    def check(self, asked: Asked) -> Checked:
        """The graph, checked; its problems are in it.

        Raises:
            GraphError: where there is no such graph.
        """
        return self._checked(self.graph(asked), asked)

    def _checked(self, graph: Graph, asked: Asked) -> Checked:
        checked = self.workspace.check(graph, asked.only)
        if isinstance(asked.graph, str) or not self.allowed or checked.problems:
            return checked
        raise_if_any(self._refused(checked))
        return checked

    def _refused(self, checked: Checked) -> Iterable[Problem]:
        hint = f"this server allows {listed(sorted(self.allowed))}"
        for id, call in checked.calls.items():
            if not self.allowed & {call.type.name, call.type.category}:
                yield Problem(f"{call.type.name} is not allowed here", hint, id, code="node-type-not-allowed")

    def request(self, asked: Asked, caller: str, key: str = "", priority: int = 0) -> RunRequest:
        """The request, checked and ready to be written down.

        Raises:
            GraphError: with every problem of it.
        """
        graph = self.graph(asked)
        checked = self._checked(graph, asked)
        raise_if_any(checked.problems)
        whole = document.write(self_contained(graph, checked.subgraphs))
        return RunRequest(
            caller,
            asked.name,
            printable(graph.title)[:200],
            asked.parameters,
            whole,
            asked.only,
            key,
            digest([asked.name, whole.decode("utf-8", "surrogatepass"), list(asked.only)]),
            priority,
        )

    def read(self, name: str, content: bytes) -> Graph:
        """The graph of a request that was written down.

        Args:
            name: that of the server's graph, in whose folder files are looked up; empty for one that was posted.
        """
        return document.read(content, self.graphs.path(name) if name else None)


def raise_if_any(problems: Iterable[Problem]) -> None:
    """Raise `GraphError` where there are problems; they name no files of the server."""
    found = tuple(problems)
    if found:
        raise GraphError(found)


def _unknown(name: str, graph: Graph) -> Problem:
    known = f"its parameters are: {listed(graph.parameters)}" if graph.parameters else "it has no parameters"
    message = f"the graph has no parameter `{name[:80]}`"
    return Problem(message, nearest(name, graph.parameters) or known, code="unknown-target")
