"""Subgraphs inlined: nodes of type `graph:NAME`, `file:PATH` and `map:NAME` are replaced by the nodes of the subgraph.

Members of an inlined subgraph are named by path, `portrait/sampler`, those of a repeated one with the item's number,
`portraits/0/sampler`. The walk is a work list, linear in the nodes and links of the result; a subgraph that contains
itself is a problem, and so is a result beyond the limit of nodes.

A node `map:NAME` is inlined last, since its links decide how often it is repeated. Where a link leads to a list that
its node has not computed yet, one placeholder item, `portraits/*/sampler`, represents all items, so that everything can
be checked; when the node has run, the graph is inlined again with the list in `known`.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from weft.engine.errors import MAX_PROBLEMS, GraphError, InputError, LiteralError, Problem, listed, nearest
from weft.engine.graph.graph import Given, Graph, Link, Node, Parameter, links_of
from weft.engine.graph.subgraph_files import SubgraphFiles
from weft.engine.limits import Limits
from weft.engine.spec.node import NodeType
from weft.engine.types import ListOf, Range, Scalar, Type, shown
from weft.engine.weights.resources import SearchPaths

PREFIXES = ("graph:", "file:")
REPEATED = "map:"
MAX_DEPTH = 100
"""How deep subgraphs may be nested."""

MAX_PATH = 2000
"""Characters of a node's path."""

VALUES_PER_NODE = 64
"""A graph may have so many times `max_nodes` values that inlining makes: links to the items of a repeated subgraph,
elements of lists that several nodes get, inputs that parameters set."""

_LINK_COST = 4
"""How many values a link counts, by the time that it takes to check it."""


class _TooMuchError(Exception):
    """Inlining has made more nodes or values than the limits allow; `problems` ends with the one that says so."""


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

    Args:
        subgraphs: the output names of each node that was replaced.
        targets: the inputs that parameters set.
        files: the graph files that were read.
        awaited: for the path of each placeholder item, links to the lists that decide how many items there are.
    """

    nodes: dict[str, Node] = field(default_factory=dict)
    subgraphs: dict[str, tuple[str, ...]] = field(default_factory=dict)
    targets: list[Target] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    outputs: dict[str, Link] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    awaited: dict[str, tuple[Link, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class _Scope:
    """One graph to inline.

    Args:
        prefix: the path of its node, with a slash; empty for the root.
        given: the inputs that its parameters set, by node and input.
        visible: the subgraphs that its nodes may name.
        trail: the graphs that contain it, from the root, each with a label and its identity.
    """

    graph: Graph
    prefix: str = ""
    given: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    visible: Mapping[str, Graph] = field(default_factory=dict)
    trail: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True)
class _Repeat:
    """A node `map:NAME` that waits for what its links lead to."""

    scope: _Scope
    type: str
    inputs: Mapping[str, Given]


@dataclass(frozen=True)
class _Element:
    """An element of a list that a link leads to."""

    list: Link
    index: int


@dataclass(frozen=True)
class _Walked:
    """The elements of a list that a subgraph is repeated over: literals, links or `_Element`s.

    If the list is not computed yet, `awaited` is the link to it, and there is one placeholder element.
    """

    elements: tuple[Any, ...]
    awaited: Link | None = None


class _Inliner:
    def __init__(
        self, subgraphs: SubgraphFiles, limits: Limits, types: Mapping[str, NodeType], known: Mapping[Link, list[Any]]
    ) -> None:
        self.flat = Flat()
        self.subgraphs = subgraphs
        self.limits = limits
        self.types = types
        self.known = known
        self.instances: dict[str, Graph] = {}
        self.repeats: dict[str, _Repeat] = {}
        self.items: dict[str, tuple[str, ...]] = {}
        self.files: dict[tuple[Path | None, str], Graph | Problem | None] = {}
        self.contents: set[Path] = set()
        self.work: deque[_Scope] = deque()
        self.values_left = VALUES_PER_NODE * limits.max_nodes
        self.unlooked: list[str] = []
        self.waiting: defaultdict[str, list[str]] = defaultdict(list)
        self.weights: dict[int, tuple[object, int]] = {}
        self.scopes: dict[tuple[int, int], tuple[object, Mapping[str, Graph]]] = {}

    def run(self, root: Graph) -> Flat:
        try:
            return self._inlined(root)
        except _TooMuchError:
            return Flat(problems=self.flat.problems)

    def _inlined(self, root: Graph) -> Flat:
        given = self._settings(root, {}, "")
        self.flat.problems += root.faults
        self.work.append(_Scope(root, given=given, visible=dict(root.graphs), trail=(("this graph", _identity(root)),)))
        while self.work or self._repeat_ready():
            if self.work:
                self._scope(self.work.popleft())
        for id in self.repeats:
            self._problem(
                "cycle", "a cycle: it is repeated over a list that depends on it", "remove one of these links", id
            )
        if self.instances or self.items:
            self._relink()
        self.flat.outputs = {name: self._output(name, link) for name, link in root.outputs.items()}
        return self.flat

    def _make_room(self, made: Mapping[str, object], count: int = 1) -> None:
        """Stop where so many more nodes, or subgraphs, would be beyond the limit."""
        if len(made) + count > self.limits.max_nodes:
            message = f"more than {self.limits.max_nodes:,} nodes, subgraphs inlined"
            self._problem("too-many-nodes", message, "raise WEFT_MAX_NODES")
            raise _TooMuchError

    def _spend(self, values: int) -> None:
        """Count values that inlining makes or looks at; stop where they are too many."""
        self.values_left -= values
        if self.values_left < 0:
            message = "too many links and list elements, subgraphs inlined"
            self._problem("too-many-values", message, "share fewer and shorter lists, or raise WEFT_MAX_NODES")
            raise _TooMuchError

    def _weight(self, given: Any) -> int:
        """How many values an input has; each list is counted once. Text counts too, since keys are made of it."""
        if isinstance(given, str):
            return 1 + len(given) // 256
        if not isinstance(given, (tuple, Mapping)):
            return 1
        if id(given) not in self.weights:
            parts = given.values() if isinstance(given, Mapping) else given
            self.weights[id(given)] = given, 1 + sum(map(self._weight, parts))  # held, so that its id stays its own
        return self.weights[id(given)][1]

    def _problem(self, code: str, message: str, hint: str = "", node: str = "", name: str = "") -> None:
        self._report(Problem(message, hint, node, name, code=code))

    def _report(self, *problems: Problem) -> None:
        self.flat.problems += problems
        if len(self.flat.problems) > 10 * MAX_PROBLEMS:  # the items of a repeated subgraph have the same
            raise _TooMuchError

    def _scope(self, scope: _Scope) -> None:
        for id, node in scope.graph.nodes.items():
            inputs = node.inputs
            if scope.prefix:
                self._spend(1 + sum(map(self._weight, inputs.values())))
            if scope.prefix or id in scope.given:
                inner = {name: _within(scope.prefix, item) for name, item in inputs.items()}
                inputs = MappingProxyType(inner | scope.given.get(id, {}))
            if node.type.startswith(PREFIXES):
                self._instance(scope, scope.prefix + id, node.type, inputs)
            elif node.type.startswith(REPEATED):
                self.repeats[scope.prefix + id] = _Repeat(scope, node.type, inputs)
                self.unlooked.append(scope.prefix + id)
            else:
                self._make_room(self.flat.nodes)
                self.flat.nodes[scope.prefix + id] = node if inputs is node.inputs else replace(node, inputs=inputs)

    def _instance(self, scope: _Scope, id: str, type: str, inputs: Mapping[str, Any]) -> None:
        found = self._subgraph(scope, id, type)
        if found is None:
            return
        trail = (*scope.trail, (type, _identity(found)))
        if _identity(found) in (known for _, known in scope.trail):
            path = " -> ".join(label for label, _ in trail)
            hint = "break the circle: a subgraph cannot hold itself"
            self._problem("recursive-subgraph", f"a subgraph contains itself: {path}", hint, id)
            return
        if len(trail) > MAX_DEPTH or len(id) > MAX_PATH:
            what = f"{MAX_DEPTH} levels" if len(trail) > MAX_DEPTH else f"a path of {MAX_PATH} characters"
            self._problem("too-many-levels", f"subgraphs nested deeper than {what}", "use fewer levels", id)
            return
        self._make_room(self.instances)
        self.instances[id] = found
        self.flat.subgraphs[id] = tuple(found.outputs)
        visible = self._visible({} if type.startswith("file:") else scope.visible, found)
        self.work.append(_Scope(found, f"{id}/", self._settings(found, inputs, id), visible, trail))

    def _visible(self, outer: Mapping[str, Graph], found: Graph) -> Mapping[str, Graph]:
        """The subgraphs that nodes of a subgraph may name; made once for all its instances in one place."""
        if not found.graphs:
            return outer
        place = (id(outer) if outer else 0, id(found.graphs))
        if place not in self.scopes:
            self._spend(len(outer) + len(found.graphs))
            self.scopes[place] = outer, {**outer, **found.graphs}  # held, so that its id stays its own
        return self.scopes[place][1]

    def _subgraph(self, scope: _Scope, id: str, type: str) -> Graph | None:
        kind, _, name = type.partition(":")
        if kind == "file":
            return self._file(scope, id, name)
        if name not in scope.visible:
            known = f"the subgraphs are: {listed(scope.visible)}" if scope.visible else "the graph has no subgraphs"
            hint = nearest(name, scope.visible) or known
            self._problem("unknown-subgraph", f"there is no subgraph `{name}`", hint, id)
        return scope.visible.get(name)

    def _file(self, scope: _Scope, id: str, name: str) -> Graph | None:
        place = (scope.graph.path.parent if scope.graph.path else None, name)
        if place not in self.files:
            self.files[place] = self._read(scope.graph, name)
        found = self.files[place]
        if isinstance(found, Problem):
            self._report(replace(found, node=id))
            return None
        return found

    def _read(self, graph: Graph, name: str) -> Graph | Problem | None:
        """The graph of a file that a node of `graph` names; None where its problems are those of the file."""
        try:
            found = self.subgraphs.find(graph, name)
        except InputError as fault:
            return Problem.of(fault)
        except GraphError as fault:
            self._report(*fault.problems)
            return None
        if found is None:
            hint = "check the name; it is looked up in the folder of the graph"
            return Problem(f"there is no graph file `{name}`", hint, code="unknown-graph-file")
        path, content = found
        if path not in self.contents:
            self.contents.add(path)
            self.flat.files.append(path)
            self._report(*content.faults)
        return content

    def _settings(self, graph: Graph, inputs: Mapping[str, Any], id: str) -> dict[str, dict[str, Any]]:
        """The inputs that the parameters of `graph` set: `{node: {input: literal or link}}`."""
        settings: dict[str, dict[str, Any]] = {}
        for name in (name for name in inputs if name not in graph.parameters):
            known = f"its parameters are: {listed(graph.parameters)}" if graph.parameters else "it has no parameters"
            hint = nearest(name, graph.parameters) or known
            self._problem("unknown-parameter", f"unknown input `{name}`", hint, id, name)
        for name, parameter in graph.parameters.items():
            given = name in inputs or parameter.has_default
            value = inputs.get(name, parameter.default)
            if given:
                self._admit(parameter, name, value, id)
            for target in parameter.sets:
                self._spend(1 + (self._weight(value) if given else 0))
                node, dot, socket = target.partition(".")
                if not dot or node not in graph.nodes:
                    hint = nearest(node, graph.nodes) or f"its nodes are: {listed(graph.nodes)}"
                    message = f"parameter `{name}` sets `{target}`: there is no such node"
                    self._problem("unknown-parameter-target", message, hint, id)
                    continue
                self.flat.targets.append(Target(f"{id}/{node}" if id else node, socket, name, id))
                if given:
                    if socket in settings.setdefault(node, {}):
                        message = f"parameter `{name}` sets `{target}`, which another one sets too"
                        self._problem("set-twice", message, "let one parameter set it", id)
                    settings[node][socket] = value
        return settings

    def _admit(self, parameter: Parameter, name: str, value: Any, id: str) -> None:
        """Report a value that the parameter's own type and bounds refuse. Links are checked later."""
        self._spend(len(parameter.choices))
        fault = None if isinstance(value, Link) else parameter_fault(parameter, value)
        if fault:
            self._report(Problem.of(fault, id, name if id else "", f"parameter `{name}`: "))

    def _repeat_ready(self) -> bool:
        """Schedule the items of repeated subgraphs whose links lead to inlined nodes; returns whether there is work."""
        looked, self.unlooked = self.unlooked, []
        for id in looked:
            repeat = self.repeats[id]
            if first := self._waits_for(repeat):
                self.waiting[first].append(id)
            else:
                del self.repeats[id]
                self._repeat(id, repeat)
                self.unlooked += self.waiting.pop(id, ())
        return bool(self.work or self.unlooked)

    def _waits_for(self, repeat: _Repeat) -> str:
        """The first repeated subgraph that one links to and that is not inlined yet; empty where there is none."""
        for link in (link for given in repeat.inputs.values() for link in links_of(given)):
            ends = _ends(self._target(link))
            self._spend(len(ends))
            if first := next((end.node for end in ends if end.node in self.repeats), ""):
                return first
        return ""

    def _repeat(self, id: str, repeat: _Repeat) -> None:
        """Inline a subgraph once for each item of the lists that it is given."""
        found = self._subgraph(repeat.scope, id, repeat.type)
        lists = {name: items for name, given in repeat.inputs.items() if (items := self._walked(given)) is not None}
        lengths = {name: len(items.elements) for name, items in lists.items() if items.awaited is None}
        if not lists:
            message = f"`{repeat.type}` is given no list to walk over"
            self._problem("no-list", message, "give one of its inputs a list", id)
        elif len(set(lengths.values())) > 1:
            counts = ", ".join(f"`{name}` has {length}" for name, length in lengths.items())
            message = f"lists that are walked together differ in length: {counts}"
            self._problem("unequal-lists", message, "give as many of each", id)
        elif found is not None:
            self.flat.subgraphs[id] = tuple(found.outputs)
            awaited = tuple(items.awaited for items in lists.values() if items.awaited)
            if awaited and 0 not in lengths.values():
                self.flat.awaited[f"{id}/*/"] = awaited
                names = [f"{id}/*"]
            else:
                count = min(lengths.values())
                self._make_room(self.instances, count)
                names = [f"{id}/{index}" for index in range(count)]
            self.items[id] = tuple(names)
            for index, name in enumerate(names):
                self._repeat_item(name, repeat, {key: items.elements[index] for key, items in lists.items()})

    def _repeat_item(self, name: str, repeat: _Repeat, elements: Mapping[str, Any]) -> None:
        """Inline one item with its elements of the lists; a `Choose` node takes a computed element out of its list."""
        inputs = dict(repeat.inputs)
        for key, element in elements.items():
            if isinstance(element, _Element):
                chooses: dict[str, Given] = {"index": element.index, "items": element.list}
                self._make_room(self.flat.nodes)
                self.flat.nodes[f"{name}/@{key}"] = Node("Choose", MappingProxyType(chooses))
                element = Link(f"{name}/@{key}")
            inputs[key] = element
        self._instance(repeat.scope, name, repeat.type, inputs)

    def _walked(self, given: Any) -> _Walked | None:
        """The elements of an input that is a list; None for an input that all items share."""
        target = self._target(given) if isinstance(given, Link) else given
        if isinstance(target, tuple):
            return _Walked(target)
        if not isinstance(target, Link) or not isinstance(self._gives(target), ListOf):
            return None
        values = self.known.get(target)
        if values is None:
            return _Walked((_Element(target, 0),), target)
        if all(isinstance(value, (bool, int, float, str)) for value in values):
            return _Walked(tuple(values))
        return _Walked(tuple(_Element(target, index) for index in range(len(values))))

    def _gives(self, link: Link) -> Type | None:
        """The type of an output, from its node's type; for an element that `Choose` takes, from its list's type."""
        node = self.flat.nodes.get(link.node)
        if node and "/@" in link.node:
            items = self._gives(next(links_of(node.inputs["items"])))
            return items.item if isinstance(items, ListOf) else None
        type = self.types.get(node.type) if node else None
        if type is None or (link.output is None and len(type.outputs) != 1):
            return None
        output = type.outputs.get(link.output or next(iter(type.outputs)))
        return output.type if output else None

    def _relink(self) -> None:
        known: dict[Link, Link | tuple[Link, ...]] = {}

        def target(link: Link) -> Link | tuple[Link, ...]:
            found = known.get(link)
            if found is None:
                found = known[link] = self._target(link)
            if isinstance(found, tuple):
                self._spend(_LINK_COST * len(found))
            return found

        for id, node in [*self.flat.nodes.items()]:
            inputs = {name: _map_links(item, target) for name, item in node.inputs.items()}
            self.flat.nodes[id] = replace(node, inputs=MappingProxyType(inputs))

    def _output(self, name: str, link: Link) -> Link:
        """What the graph's output `name` leads to; the items of a repeated subgraph are collected."""
        return self._collected(f"@{name}", self._target(link))

    def _collected(self, id: str, target: Link | tuple[Link, ...]) -> Link:
        if isinstance(target, Link):
            return target
        self._make_room(self.flat.nodes)
        self._spend(_LINK_COST * len(target))
        self.flat.nodes[id] = Node("Collect", MappingProxyType({"items": target}))
        return Link(id)

    def _target(self, link: Link) -> Link | tuple[Link, ...]:
        """The node output behind a link, through the outputs of subgraphs; of a repeated one, that of each item."""
        while link.node in self.instances or link.node in self.items:
            outputs = self.flat.subgraphs[link.node]
            name = link.output or (outputs[0] if len(outputs) == 1 else None)
            if name not in outputs:
                return link
            if link.node in self.items:
                items = self.items[link.node]
                return tuple(self._collected(f"{item}/@{name}", self._target(Link(item, name))) for item in items)
            inner = self.instances[link.node].outputs[name]
            link = Link(f"{link.node}/{inner.node}", inner.output)
        return link


def _ends(target: Link | tuple[Link, ...]) -> tuple[Link, ...]:
    return target if isinstance(target, tuple) else (target,)


def _identity(graph: Graph) -> Any:
    """Equal for two uses of one subgraph: the same graph object, which each file is read into once."""
    return id(graph.nodes)


def _within(prefix: str, item: Any) -> Any:
    return _map_links(item, lambda link: Link(prefix + link.node, link.output)) if prefix else item


def _map_links(item: Any, change: Callable[[Link], Any]) -> Any:
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
        number = type(value) in (int, float)
        fault = Range(parameter.min, parameter.max).fault(value) if number else None
        if fault:
            return LiteralError(fault, f"give a value from {parameter.min} to {parameter.max}", "out-of-range")
        if parameter.choices and value not in parameter.choices:
            hint = f"choose one of: {listed(map(str, parameter.choices))}"
            return LiteralError(f"{shown(value)} is no choice here", hint, "unknown-choice")
    except LiteralError as fault_:
        return fault_
    return None


def _parameter_type(name: str) -> Scalar:
    names = ("int", "float", "str", "bool")
    if name not in names:
        hint = nearest(name, names) or f"the types are: {listed(names)}"
        raise LiteralError(f"`{name}` is no parameter type", hint, "unknown-parameter-type")
    return Scalar(name)


def inline(
    graph: Graph,
    places: SearchPaths,
    limits: Limits,
    types: Mapping[str, NodeType] = MappingProxyType({}),
    known: Mapping[Link, Any] = MappingProxyType({}),
    subgraphs: SubgraphFiles | None = None,
) -> Flat:
    """The graph with every subgraph inlined, and its problems: unknown or self-containing subgraphs, parameters.

    Args:
        types: the node types by name; they decide which links lead to lists.
        known: lists that nodes have given already, by the link to them, for what is repeated over them.
    """
    return _Inliner(subgraphs or SubgraphFiles(places, limits), limits, types, known).run(graph)
