"""Turns what a caller asks for into a checked request: a graph of the server or one that was posted, with values set.

All that decides whether it can run is found here, before it is written down: the same problems as `weft check` finds.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from weft.engine.checking.checker import Checked
from weft.engine.errors import GraphError, Problem, listed, nearest, printable
from weft.engine.graph import document
from weft.engine.graph.bundle import self_contained
from weft.engine.graph.graph import Graph
from weft.engine.keys import Digest, digest
from weft.engine.latest_entries import LatestEntries
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


REMEMBERED = 10.0
"""Seconds for which a request that was checked is not checked again when it comes again: its run is, in any case."""

MOST_REMEMBERED = 200

MODELS = frozenset({"unknown-model", "not-downloaded"})
"""The problems of a graph whose models are not on this machine."""


@dataclass(frozen=True)
class _Admitted:
    """A request that was checked.

    Args:
        source: the graph of the server that it names, as it was then.
        at: when, in seconds of the monotonic clock.
    """

    request: RunRequest
    source: Graph | None
    at: float


@dataclass(frozen=True)
class Admission:
    """Checks requests.

    Args:
        workspace: what graphs are checked with.
        graphs: the server's own.
        allowed: the node types, and categories of such, that graphs which are posted may have; empty allows all.
        elsewhere: whether models are those of workers alone, so that one which is not here is no problem.
    """

    workspace: Workspace
    graphs: GraphFolder
    allowed: frozenset[str] = frozenset()
    elsewhere: bool = False
    _admitted: LatestEntries[Digest, _Admitted] = field(
        default_factory=lambda: LatestEntries(MOST_REMEMBERED), repr=False
    )

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
        if self.elsewhere:
            checked = replace(checked, problems=tuple(one for one in checked.problems if one.code not in MODELS))
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
        source = self.graphs.get(asked.graph) if isinstance(asked.graph, str) else None
        same = digest(exact_json([asked.graph, dict(asked.parameters), list(asked.only)]).decode())
        found = self._admitted.get(same)
        if found is None or found.source is not source or time.monotonic() - found.at > REMEMBERED:
            found = self._admit(asked, source)
            self._admitted.put(same, found)
        return replace(found.request, caller=caller, key=key, priority=priority)

    def _admit(self, asked: Asked, source: Graph | None) -> _Admitted:
        graph, now = self.graph(asked), time.monotonic()
        checked = self._checked(graph, asked)
        raise_if_any(checked.problems)
        whole = document.write(self_contained(graph, checked.subgraphs))
        fingerprint = digest([asked.name, whole.decode("utf-8", "surrogatepass"), list(asked.only)])
        title = printable(graph.title)[:200]
        request = RunRequest("", asked.name, title, asked.parameters, whole, asked.only, fingerprint=fingerprint)
        return _Admitted(request, source, now)

    def recheck(self, graph: Graph, only: tuple[str, ...]) -> bool:
        """Check once more what was written down, before others run it; whether all of it was checked.

        Raises:
            GraphError: where it cannot run any more, as a file that it names is gone.
        """
        problems = self.workspace.check(graph, only).problems
        raise_if_any(one for one in problems if not self.elsewhere or one.code not in MODELS)
        return not problems

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
