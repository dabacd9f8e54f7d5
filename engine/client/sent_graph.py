"""A graph as it goes to a server: whole, and with the files that it names sent before it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from weft.engine.checking.parameters import target_input
from weft.engine.errors import GraphError, Problem
from weft.engine.graph.bundle import self_contained
from weft.engine.graph.graph import Graph
from weft.engine.graph.subgraph_files import SubgraphFiles
from weft.engine.shipped_graphs import scopes
from weft.engine.spec.catalog import Catalog
from weft.engine.weights.resources import InputFile, find
from weft.engine.workspace import Workspace


def whole_graph(graph: Graph, workspace: Workspace) -> Graph:
    """The graph with the subgraphs that it names in files.

    Raises:
        GraphError: where one of them is not there.
    """
    files = SubgraphFiles(workspace.places(graph), workspace.limits)
    for scope in scopes(graph):
        for id, node in scope.nodes.items():
            if node.type.startswith("file:") and files.find(scope, node.type[5:]) is None:
                message = f"there is no graph file `{node.type[5:]}`"
                raise GraphError([Problem(message, "check the name", id, code="unknown-graph-file")])
    return self_contained(graph, files)


@dataclass(frozen=True)
class FilesSent:
    """Sends the files that graphs name, each once, and names them as the server does.

    Args:
        send: gives the name that a file has there, having sent it where it is not.
    """

    workspace: Workspace
    send: Callable[[Path], str]
    names: dict[Path, str] = field(default_factory=dict, repr=False)
    """The files that were named so far."""

    def __call__(self, graph: Graph) -> Graph:
        """The graph with the names that its files have on the server; what is not here is left as it is."""
        return self._sent(graph, self.workspace.places(graph).files)

    def _sent(self, graph: Graph, folders: tuple[Path, ...]) -> Graph:
        catalog = self.workspace.catalog
        nodes = {}
        for id, node in graph.nodes.items():
            inputs = {
                name: self._renamed(graph, f"{id}.{name}", one, catalog, folders) for name, one in node.inputs.items()
            }
            nodes[id] = replace(node, inputs=MappingProxyType(inputs))
        parameters = {
            name: replace(one, default=self._renamed(graph, name, one.default, catalog, folders))
            for name, one in graph.parameters.items()
        }
        return replace(
            graph,
            nodes=MappingProxyType(nodes),
            parameters=MappingProxyType(parameters),
            graphs=MappingProxyType({name: self._sent(one, folders) for name, one in graph.graphs.items()}),
        )

    def _renamed(self, graph: Graph, target: str, given: Any, catalog: Catalog, folders: tuple[Path, ...]) -> Any:
        if not isinstance(given, str) or not given:
            return given
        reached = target_input(graph, target, catalog)
        if reached is None or not isinstance(reached.resource, InputFile):
            return given
        path = find(given, folders)
        return given if path is None or not path.is_file() else self._name(path.resolve())

    def _name(self, path: Path) -> str:
        if path not in self.names:
            self.names[path] = self.send(path)
        return self.names[path]
