"""Subgraphs inlined: a graph whose nodes of type `graph:NAME` and `file:PATH` are replaced by what they stand for.

Members of an inlined subgraph are named by path, `portrait/sampler`. The walk is a work list, linear in the nodes and
links of the result; a subgraph that contains itself is a problem, and so is a result beyond the limit of nodes.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from weft.engine.document import load
from weft.engine.errors import GraphError, InputError, Problem, listed, nearest
from weft.engine.graph import Graph, Link, Node, Parameter
from weft.engine.limits import Limits
from weft.engine.resources import Places, find
from weft.engine.types import LiteralError, NoNumber, Range, Scalar, shown

PREFIXES = ("graph:", "file:")
MAX_DEPTH = 100
"""How deep subgraphs may stand in subgraphs."""


@dataclass(frozen=True)
class Target:
    """An input that a parameter sets, with the parameter and the subgraph's node that has it, if any."""

    node: str
    input: str
    parameter: str
    owner: str = ""


@dataclass
class Flat:
    """A graph without subgraphs: nodes by path, outputs as links to them, and the problems on the way.

    `subgraphs` has the output names of each node that was replaced, `targets` what parameters set, `files` the graph
    files that were read.
    """

    nodes: dict[str, Node] = field(default_factory=dict)
    subgraphs: dict[str, tuple[str, ...]] = field(default_factory=dict)
    targets: list[Target] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    outputs: dict[str, Link] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


@dataclass(frozen=True)
class _Scope:
    """One graph to inline: where it stands, what is set in it, and which subgraphs it sees."""

    graph: Graph
    prefix: str = ""
    given: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    visible: Mapping[str, Graph] = field(default_factory=dict)
    trail: tuple[tuple[str, Any], ...] = ()


class _Inliner:
    def __init__(self, places: Places, limits: Limits) -> None:
        self.flat = Flat()
        self.places = places
        self.limits = limits
        self.instances: dict[str, Graph] = {}
        self.files: dict[Path, Graph] = {}
        self.work: deque[_Scope] = deque()

    def run(self, root: Graph) -> Flat:
        given = self._settings(root, {}, "")
        self.flat.problems += root.faults
        self.work.append(_Scope(root, given=given, visible=dict(root.graphs), trail=(("this graph", _identity(root)),)))
        while self.work and len(self.flat.nodes) + len(self.instances) <= self.limits.max_nodes:
            self._scope(self.work.popleft())
        if self.work or len(self.flat.nodes) > self.limits.max_nodes:
            self._problem(f"more than {self.limits.max_nodes:,} nodes, subgraphs inlined", "raise WEFT_MAX_NODES")
            return Flat(problems=self.flat.problems)
        if self.instances:
            self._relink()
        self.flat.outputs = {name: self._target(link) for name, link in root.outputs.items()}
        return self.flat

    def _problem(self, message: str, mend: str = "", node: str = "", name: str = "") -> None:
        self.flat.problems.append(Problem(message, mend, node, name))

    def _scope(self, scope: _Scope) -> None:
        for id, node in scope.graph.nodes.items():
            inputs = {name: _within(scope.prefix, item) for name, item in node.inputs.items()}
            inputs |= scope.given.get(id, {})
            if node.type.startswith(PREFIXES):
                self._instance(scope, scope.prefix + id, node.type, inputs)
            else:
                self.flat.nodes[scope.prefix + id] = replace(node, inputs=MappingProxyType(inputs))

    def _instance(self, scope: _Scope, id: str, type: str, inputs: Mapping[str, Any]) -> None:
        found = self._subgraph(scope, id, type)
        if found is None:
            return
        trail = (*scope.trail, (type, _identity(found)))
        if _identity(found) in (known for _, known in scope.trail):
            path = " -> ".join(label for label, _ in trail)
            self._problem(f"a subgraph contains itself: {path}", "break the circle: a subgraph cannot hold itself", id)
            return
        if len(trail) > MAX_DEPTH:
            self._problem(f"subgraphs nested deeper than {MAX_DEPTH} levels", "use fewer levels", id)
            return
        outer = scope.visible if type.startswith("graph:") else {}
        visible = {**outer, **found.graphs} if found.graphs else outer
        self.instances[id] = found
        self.flat.subgraphs[id] = tuple(found.outputs)
        self.work.append(_Scope(found, f"{id}/", self._settings(found, inputs, id), visible, trail))

    def _subgraph(self, scope: _Scope, id: str, type: str) -> Graph | None:
        kind, _, name = type.partition(":")
        if kind == "file":
            return self._file(scope, id, name)
        if name not in scope.visible:
            known = f"the subgraphs are: {listed(scope.visible)}" if scope.visible else "the graph has no subgraphs"
            self._problem(f"there is no subgraph `{name}`", nearest(name, scope.visible) or known, id)
        return scope.visible.get(name)

    def _file(self, scope: _Scope, id: str, name: str) -> Graph | None:
        base = scope.graph.path.parent if scope.graph.path else self.places.base
        try:
            path = find(name, replace(self.places, base=base).files)
            if path is None:
                self._problem(
                    f"there is no graph file `{name}`", "check the name; it is looked up beside the graph", id
                )
                return None
            path = path.resolve()
            if path not in self.files:
                self.flat.files.append(path)
                self.files[path] = load(path, self.limits.max_file_bytes)
                self.flat.problems += self.files[path].faults
            return self.files[path]
        except InputError as fault:
            self._problem(fault.message, fault.mend, id)
        except GraphError as fault:
            self.flat.problems += fault.problems
        return None

    def _settings(self, graph: Graph, inputs: Mapping[str, Any], id: str) -> dict[str, dict[str, Any]]:
        """What each node of `graph` gets through the graph's parameters: `{node: {input: literal or link}}`."""
        settings: dict[str, dict[str, Any]] = {}
        for name in (name for name in inputs if name not in graph.parameters):
            known = f"its parameters are: {listed(graph.parameters)}" if graph.parameters else "it has no parameters"
            self._problem(f"unknown input `{name}`", nearest(name, graph.parameters) or known, id, name)
        for name, parameter in graph.parameters.items():
            for target in parameter.sets:
                node, dot, socket = target.partition(".")
                if not dot or node not in graph.nodes:
                    mend = nearest(node, graph.nodes) or f"its nodes are: {listed(graph.nodes)}"
                    self._problem(f"parameter `{name}` sets `{target}`: there is no such node", mend, id)
                    continue
                self.flat.targets.append(Target(f"{id}/{node}" if id else node, socket, name, id))
                if name in inputs or parameter.has_default:
                    value = inputs.get(name, parameter.default)
                    if socket in settings.setdefault(node, {}):
                        message = f"parameter `{name}` sets `{target}`, which another one sets too"
                        self._problem(message, "let one parameter set it", id)
                    settings[node][socket] = self._admitted(parameter, name, value, id)
        return settings

    def _admitted(self, parameter: Parameter, name: str, value: Any, id: str) -> Any:
        """The value, where the parameter's own type and bounds take it; links are checked at their ends."""
        fault = None if isinstance(value, Link) else parameter_fault(parameter, value)
        if fault:
            self._problem(f"parameter `{name}`: {fault}", fault.mend, id, name if id else "")
        return value

    def _relink(self) -> None:
        for id, node in self.flat.nodes.items():
            inputs = {name: _map_links(item, self._target) for name, item in node.inputs.items()}
            self.flat.nodes[id] = replace(node, inputs=MappingProxyType(inputs))

    def _target(self, link: Link) -> Link:
        """The node output behind a link, through the outputs of subgraphs."""
        while link.node in self.instances:
            outputs = self.instances[link.node].outputs
            name = link.output or next(iter(outputs)) if len(outputs) == 1 else link.output
            if name is None or name not in outputs:
                return link
            inner = outputs[name]
            link = Link(f"{link.node}/{inner.node}", inner.output)
        return link


def _identity(graph: Graph) -> Any:
    """What makes two subgraphs the same one: the file they are, or the object in it."""
    return id(graph.nodes)


def _within(prefix: str, item: Any) -> Any:
    return _map_links(item, lambda link: Link(prefix + link.node, link.output)) if prefix else item


def _map_links(item: Any, change: Callable[[Link], Link]) -> Any:
    if isinstance(item, Link):
        return change(item)
    if isinstance(item, tuple):
        return tuple(_map_links(element, change) for element in item)
    return item


def parameter_fault(parameter: Parameter, value: Any) -> LiteralError | None:
    """Why the parameter's own type, bounds or choices do not take the value, or None."""
    try:
        if parameter.type is not None:
            value = _parameter_type(parameter.type).literal(value)
        if isinstance(value, NoNumber):
            return None
        number = type(value) in (int, float)
        fault = Range(parameter.min, parameter.max).fault(value) if number else None
        if fault:
            return LiteralError(fault, f"give a value from {parameter.min} to {parameter.max}")
        if parameter.choices and value not in parameter.choices:
            return LiteralError(
                f"{shown(value)} is no choice here", f"choose one of: {listed(map(str, parameter.choices))}"
            )
    except LiteralError as fault_:
        return fault_
    return None


def _parameter_type(name: str) -> Scalar:
    names = ("int", "float", "str", "bool")
    if name not in names:
        raise LiteralError(f"`{name}` is no parameter type", nearest(name, names) or f"the types are: {listed(names)}")
    return Scalar(name)


def inline(graph: Graph, places: Places, limits: Limits) -> Flat:
    """The graph with every subgraph inlined, and its problems: unknown or self-containing subgraphs, parameters."""
    return _Inliner(places, limits).run(graph)


def self_contained(graph: Graph, places: Places, limits: Limits) -> Graph:
    """The graph with every `file:` subgraph held inside it, as a picture carries it."""
    return _Embedder(places, limits).embed(graph)


@dataclass
class _Embedder:
    places: Places
    limits: Limits
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
        base = graph.path.parent if graph.path else self.places.base
        found = find(name, replace(self.places, base=base).files)
        assert found is not None  # the graph was checked
        path = found.resolve()
        if path not in self.files:
            self.files[path] = label = f"file_{len(self.files) + 1}_{re.sub('[^A-Za-z0-9_-]', '_', path.stem)}"
            self.held[label] = self._refer(load(path, self.limits.max_file_bytes))
        return self.files[path]
