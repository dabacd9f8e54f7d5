"""A graph with everything that it is made of inside it, as a picture carries it: `file:` subgraphs become its own."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from weft.engine.graph.graph import Graph
from weft.engine.graph.subgraph_files import SubgraphFiles


def self_contained(graph: Graph, subgraphs: SubgraphFiles) -> Graph:
    """The graph with every `file:` subgraph held inside it, as a picture carries it.

    Args:
        subgraphs: the files as they were read when the graph was checked.
    """
    return _Embedder(subgraphs).embed(graph)


@dataclass
class _Embedder:
    subgraphs: SubgraphFiles
    files: dict[Path, str] = field(default_factory=dict)
    held: dict[str, Graph] = field(default_factory=dict)

    def embed(self, graph: Graph) -> Graph:
        changed = self._refer(graph)
        return replace(changed, graphs={**changed.graphs, **self.held}) if self.held else changed

    def _refer(self, graph: Graph) -> Graph:
        """The graph with its `file:` nodes turned into nodes of held subgraphs."""
        graphs = {name: self._refer(one) for name, one in graph.graphs.items()}
        nodes = {
            id: replace(node, type=f"graph:{self._hold(graph, node.type[5:])}") if node.type[:5] == "file:" else node
            for id, node in graph.nodes.items()
        }
        if graphs == dict(graph.graphs) and nodes == dict(graph.nodes):
            return graph
        return replace(graph, nodes=MappingProxyType(nodes), graphs=graphs)

    def _hold(self, graph: Graph, name: str) -> str:
        found = self.subgraphs.find(graph, name)
        assert found is not None  # the graph was checked
        path, content = found
        if path not in self.files:
            self.files[path] = label = f"file_{len(self.files) + 1}_{re.sub('[^A-Za-z0-9_-]', '_', path.stem)}"
            self.held[label] = self._refer(content)
        return self.files[path]
