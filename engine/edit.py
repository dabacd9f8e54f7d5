"""Edits of graphs: inputs, parameters, whole nodes and subgraphs, any number at once; what comes out is a new graph.

`Graph.set` and `Graph.replace` are the way in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from weft.engine.errors import GraphError, Problem, listed, nearest
from weft.engine.graph import Graph, Node, Parameter, freeze


def edited(graph: Graph, changes: Mapping[str, Any]) -> Graph:
    """A graph with every change made; `Graph.replace` says what a change is.

    Raises:
        GraphError: with a problem for each change to something that is not there.
    """
    draft = _Draft(dict(graph.nodes), dict(graph.parameters), dict(graph.graphs))
    problems = [problem for target, given in changes.items() if (problem := draft.change(target, given))]
    if problems:
        raise GraphError(problems)
    return replace(
        graph,
        nodes=MappingProxyType(draft.nodes),
        parameters=MappingProxyType(draft.parameters),
        graphs=MappingProxyType(draft.graphs),
    )


@dataclass(frozen=True)
class _Draft:
    """The parts of a graph while they change."""

    nodes: dict[str, Node]
    parameters: dict[str, Parameter]
    graphs: dict[str, Graph]

    def change(self, target: str, given: Any) -> Problem | None:
        """Make one change; gives the problem where there is nothing to change."""
        if "." in target:
            return self._set_input(target, given)
        if isinstance(given, Node):
            return self._put(target, Node(given.type, freeze(given.inputs), given.notes), self.nodes, "node")
        if isinstance(given, Graph):
            return self._put(target, given, self.graphs, "subgraph")
        return self._set_parameter(target, given)

    def _set_input(self, target: str, given: Any) -> Problem | None:
        id, _, name = target.partition(".")
        if id not in self.nodes:
            mend = nearest(id, self.nodes) or f"its nodes are: {listed(self.nodes)}"
            return Problem(f"cannot set `{target}`: there is no node `{id}`", mend)
        old = self.nodes[id]
        self.nodes[id] = replace(old, inputs=MappingProxyType({**old.inputs, name: freeze(given)}))
        return None

    def _put(self, name: str, given: Any, among: dict[str, Any], what: str) -> Problem | None:
        if name not in among:
            known = f"its {what}s are: {listed(among)}" if among else f"it has no {what}s"
            return Problem(f"cannot replace `{name}`: the graph has no such {what}", nearest(name, among) or known)
        among[name] = given
        return None

    def _set_parameter(self, name: str, given: Any) -> Problem | None:
        if name not in self.parameters:
            known = f"its parameters are: {listed(self.parameters)}" if self.parameters else "it has no parameters"
            mend = f"{nearest(name, self.parameters) or known}; an input of a node is set as NODE.INPUT"
            return Problem(f"cannot set `{name}`: the graph has no such parameter", mend)
        self.parameters[name] = replace(self.parameters[name], default=freeze(given), has_default=True)
        return None
