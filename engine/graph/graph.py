"""Graph, Node and Link: frozen values; a graph is filled while its own `with Graph():` block composes it.

    with Graph(title="Two numbers") as graph:
        Show(Add(1, 2))

A graph is the content of a graph file, before any node type is looked up; `weft.engine.graph.document` reads and writes
files, `weft.engine.checking.checker` finds what is wrong.
"""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar, Token
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any, Protocol, TypeAlias

from weft.engine.errors import GraphError, Problem, listed, nearest
from weft.engine.mimebundle import Displayed
from weft.engine.types import spelled

ID = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*\Z")

_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class Link:
    """An output of another node; `output` is None for the only output of its node."""

    node: str
    output: str | None = None

    def __str__(self) -> str:
        return f"{self.node}.{self.output}" if self.output else self.node

    @classmethod
    def parse(cls, text: str) -> Link:
        """`node` or `node.output`."""
        node, _, output = text.partition(".")
        return cls(node, output or None)


Literal: TypeAlias = bool | int | float | str | Sequence["Literal"] | Mapping[str, "Literal"] | None
"""A literal of a graph file: a JSON value. Frozen ones hold tuples and read-only mappings."""

Given: TypeAlias = Literal | Link | Sequence["Given"]
"""The value of a node's input: a literal, a link, or a list of literals and links."""


@dataclass(frozen=True)
class Node:
    """A node of a graph: the name of its type, and the value of each input that is given.

    Args:
        made_at: the file and line of Python that made it, if it was composed in Python; in no file, key or comparison.
    """

    type: str
    inputs: Mapping[str, Given] = field(default_factory=dict)
    notes: str = ""
    made_at: tuple[str, int] | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Parameter:
    """An argument of a graph: the inputs it sets, and what it takes where that is narrower than its targets."""

    sets: tuple[str, ...]
    type: str | None = None
    default: Any = None
    has_default: bool = False
    min: float | None = None
    max: float | None = None
    choices: tuple[Any, ...] = ()
    description: str = ""


@dataclass(frozen=True)
class ParameterReference:
    """The value of a parameter, while a graph is composed."""

    parameter: str


class ComposedType(Protocol):
    """What a graph knows of the node types it was composed with; `weft.engine.spec.node.NodeType` is one."""

    @property
    def name(self) -> str:
        """By which a graph file names it."""

    @property
    def outputs(self) -> Mapping[str, object]:
        """Its outputs by name, in order."""


def freeze(item: Any) -> Any:
    """A literal that nobody can change: lists become tuples, objects read-only mappings."""
    if isinstance(item, (list, tuple)):
        return tuple(map(freeze, item))
    if isinstance(item, Mapping):
        return MappingProxyType({name: freeze(element) for name, element in item.items()})
    return item


@dataclass(frozen=True, eq=False)
class Graph(Displayed):
    """A graph of nodes by id, with parameters, named outputs and named subgraphs.

    Inside its `with` block the node types that are called add nodes to it; it is frozen when the block ends.

    Args:
        path: the file that it was read from; files that it names are looked up in its folder.
        contents: digests of files that it names, by name, where a picture carried it.
        types: the node types that it was composed with in Python; no part of comparisons.
        faults: problems of its file that reading found; the checker reports them.
    """

    title: str = ""
    nodes: Mapping[str, Node] = field(default_factory=dict)
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    outputs: Mapping[str, Link] = field(default_factory=dict)
    graphs: Mapping[str, Graph] = field(default_factory=dict)
    description: str = ""
    notes: str = ""
    layout: Mapping[str, Any] = field(default_factory=dict)
    path: Path | None = None
    contents: Mapping[str, str] = field(default_factory=dict, repr=False)
    types: Mapping[str, ComposedType] = field(default_factory=dict, repr=False)
    faults: tuple[Problem, ...] = ()

    def __enter__(self) -> Graph:
        builder = Builder(
            dict(self.nodes), dict(self.types), dict(self.graphs), dict(self.parameters), dict(self.outputs)
        )
        object.__setattr__(self, "_token", (_CURRENT.set(builder), builder))
        return self

    def __exit__(self, *_: object) -> None:
        token: Token[Builder | None]
        token, builder = self.__dict__.pop("_token")
        _CURRENT.reset(token)
        for name in ("nodes", "types", "graphs", "parameters", "outputs"):
            object.__setattr__(self, name, MappingProxyType(getattr(builder, name)))

    def __call__(self, *, id: str | None = None, **inputs: Any) -> Any:
        """Add this graph, as a subgraph, to the one that is being composed.

        Args:
            id: the id of its node.
            inputs: its parameters, by literals or links.

        Returns:
            A link to its output; where there are several, an object with one for each as an attribute.

        Raises:
            GraphError: outside of `with Graph():`.
        """
        return self._builder("a graph is called").add_graph("graph", self, inputs, id, caller())

    def each(self, *, id: str | None = None, **inputs: Any) -> Any:
        """Add this graph once for each item of the lists that it is given, as `map:` does; its outputs are lists.

            images = paint.each(guide=guide, seed=[1, 2, 3])

        Raises:
            GraphError: outside of `with Graph():`.
        """
        return self._builder("a graph is repeated").add_graph("map", self, inputs, id, caller())

    def output(self, name: str, link: Any) -> None:
        """Name an output, inside the block that composes this graph.

        Args:
            link: what a call of a node type returned.
        """
        builder = self._builder("an output is named")
        if not isinstance(link, Link):
            found = "a graph" if isinstance(link, Graph) else "several outputs or a value"
            hint = "give the one output that a call returned, such as checkpoint.vae"
            raise GraphError(
                [Problem(f"output `{name}` is {found}, expected one output of a node", hint, code="needs-one-output")]
            )
        if name in builder.outputs:
            message = f"the graph has an output `{name}` already"
            raise GraphError([Problem(message, "give each output a name of its own", code="duplicate-output")])
        builder.outputs[name] = link

    def parameter(self, name: str, *sets: str, **details: Any) -> Any:
        """Name a parameter, inside the block that composes this graph.

            seed = graph.parameter("seed", default=0)
            KSampler(guide, latent, seed=seed)

        Args:
            sets: inputs that it sets, as `node.input`. Inputs that are given what this returns are added.
            details: its `type`, `default`, `min`, `max`, `choices`, `description`, as a graph file has them.

        Returns:
            A reference to its value, to be given to node types and graphs that are called.
        """
        given = {**details, "default": freeze(details.get("default")), "has_default": "default" in details}
        self._builder("a parameter is named").parameters[name] = Parameter(sets, **given)
        return ParameterReference(name)

    def _builder(self, what: str) -> Builder:
        builder = current()
        if builder is None:
            message = f"{what} inside of `with Graph():` only"
            raise GraphError([Problem(message, "move the call into the block", code="outside-graph")])
        return builder

    def set(self, target: str, given: Any) -> Graph:
        """This graph with one change, as `replace` makes them.

        Raises:
            GraphError: where there is nothing of that name.
        """
        return self.replace({target: given})

    def replace(self, changes: Mapping[str, Any] = _NOTHING, /, **parameters: Any) -> Graph:
        """This graph with several changes at once.

            graph.replace({"sampler.steps": 30, "sampler.seed": 7}, prompt="a lake at night")
            graph.replace({"upscale": Node("ScaleImage", {"image": Link("decode"), "factor": 2.0})})

        Args:
            changes: an input (`node.input`) or a parameter by a literal or a `Link`; a node by a `Node`; a subgraph by
                a `Graph`.
            parameters: changes by keyword.

        Raises:
            GraphError: with a problem for each change to something that is not there; unknown inputs are found by the
                checker.
        """
        return _edited(self, {**changes, **parameters})

    def save(self, path: str | Path) -> None:
        """Write the graph as a graph file."""
        from weft.engine.graph.document import write

        Path(path).write_bytes(write(self))

    @classmethod
    def load(cls, path: str | Path) -> Graph:
        """Read a graph file; what is wrong with parts of it is in `faults`.

        Raises:
            GraphError: where it cannot be read or is no graph at all.
        """
        from weft.engine.graph.document import load

        return load(Path(path))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Graph) and all(
            getattr(self, name) == getattr(other, name)
            for name in ("title", "nodes", "parameters", "outputs", "graphs", "description", "notes", "layout")
        )

    __hash__ = None  # type: ignore[assignment]  # equal by content, and too large to hash by it

    def __str__(self) -> str:
        lines = [f"{self._head}, {len(self.nodes)} nodes"]
        lines += [f"  <{name}> sets {', '.join(parameter.sets)}" for name, parameter in self.parameters.items()]
        width = max((len(id) for id in self.nodes), default=0)
        for id, node in self.nodes.items():
            inputs = ", ".join(f"{name}={spelled(given)}" for name, given in node.inputs.items())
            lines.append(f"  {id:<{width}} = {node.type}({inputs})")
        lines += [f"  -> {name} = {link}" for name, link in self.outputs.items()]
        lines += [f"  graph:{name} of {len(inner.nodes)} nodes" for name, inner in self.graphs.items()]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<{self._head}: {len(self.nodes)} nodes>"

    @property
    def _head(self) -> str:
        return f"Graph {self.title!r}" if self.title else "Graph"


def links_of(given: Given) -> Iterator[Link]:
    """The links in an input: itself, or those in its list."""
    if isinstance(given, Link):
        yield given
    elif isinstance(given, tuple):
        for element in given:
            if isinstance(element, Link):
                yield element


@dataclass
class Builder:
    """Collects the nodes that are called inside a `with Graph():` block."""

    nodes: dict[str, Node]
    types: dict[str, ComposedType]
    graphs: dict[str, Graph]
    parameters: dict[str, Parameter]
    outputs: dict[str, Link]
    _counts: dict[str, int] = field(default_factory=dict)

    def add(
        self, type: ComposedType, given: Mapping[str, Any], id: str | None, made_at: tuple[str, int] | None = None
    ) -> list[Link]:
        """Add a node; a link to each of its outputs, in order.

        Args:
            made_at: the file and line of Python that call it.

        Raises:
            GraphError: for an id that is taken or no id.
        """
        id = self._fresh(type.name) if id is None else self._free(id)
        self._put(id, type.name, given, made_at)
        self.types[type.name] = type
        if len(type.outputs) == 1:
            return [Link(id)]
        return [Link(id, output) for output in type.outputs]

    def add_graph(
        self,
        kind: str,
        graph: Graph,
        given: Mapping[str, Any],
        id: str | None,
        made_at: tuple[str, int] | None = None,
    ) -> Any:
        """Add the node of a subgraph: one instance (`graph`) or one for each item of lists (`map`)."""
        name = next((name for name, known in self.graphs.items() if known is graph), "")
        if not name:
            name = self._named(graph)
            self.graphs[name] = graph
            self.types.update(graph.types)
        id = self._fresh(name) if id is None else self._free(id)
        self._put(id, f"{kind}:{name}", given, made_at)
        links = {output: Link(id, output) for output in graph.outputs}
        return next(iter(links.values())) if len(links) == 1 else SimpleNamespace(**links)

    def _put(self, id: str, type: str, given: Mapping[str, Any], made_at: tuple[str, int] | None) -> None:
        """Add a node; the parameters that it is given set its inputs from now on."""
        for name, item in given.items():
            if isinstance(item, ParameterReference):
                known = self.parameters[item.parameter]
                self.parameters[item.parameter] = replace(known, sets=(*known.sets, f"{id}.{name}"))
        inputs = {name: freeze(item) for name, item in given.items() if not isinstance(item, ParameterReference)}
        self.nodes[id] = Node(type, MappingProxyType(inputs), made_at=made_at)

    def _named(self, graph: Graph) -> str:
        """An unused name for a subgraph, made of its title."""
        stem = re.sub(r"[^A-Za-z0-9]+", "_", graph.title).strip("_").lower() or "subgraph"
        stem = stem if ID.match(stem) else f"_{stem}"
        names = (stem if count == 1 else f"{stem}_{count}" for count in itertools.count(1))
        return next(name for name in names if name not in self.graphs)

    def _free(self, id: str) -> str:
        if not ID.match(id):
            hint = "use letters, digits, _ and -, a letter first"
            raise GraphError([Problem(f"{id!r} is no node id", hint, id, code="malformed-id")])
        if id in self.nodes:
            message = f"the graph has a node `{id}` already"
            raise GraphError([Problem(message, "give another id", id, code="duplicate-id")])
        return id

    def _fresh(self, name: str) -> str:
        stem = snake(name)
        while True:
            count = self._counts[stem] = self._counts.get(stem, 0) + 1
            id = stem if count == 1 else f"{stem}_{count}"
            if id not in self.nodes:
                return id


def snake(name: str) -> str:
    """`TextEncode` -> `text_encode`, `KSampler` -> `k_sampler`, `VAEDecode` -> `vae_decode`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


_CURRENT: ContextVar[Builder | None] = ContextVar("current graph", default=None)


def current() -> Builder | None:
    """The builder of the innermost `with Graph():` block, or None outside."""
    return _CURRENT.get()


def caller() -> tuple[str, int]:
    """The file and line that called the function which calls this one."""
    frame = sys._getframe(2)
    return frame.f_code.co_filename, frame.f_lineno


@contextmanager
def composing_nothing() -> Iterator[None]:
    """Calls in the block add to no graph that is composed around it: a run may be started inside `with Graph():`."""
    token = _CURRENT.set(None)
    try:
        yield
    finally:
        _CURRENT.reset(token)


def _edited(graph: Graph, changes: Mapping[str, Any]) -> Graph:
    """A graph with every change made; `Graph.replace` says what a change is.

    Raises:
        GraphError: with a problem for each change to something that is not there.
    """
    draft = _Edit(dict(graph.nodes), dict(graph.parameters), dict(graph.graphs))
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
class _Edit:
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
            hint = nearest(id, self.nodes) or f"its nodes are: {listed(self.nodes)}"
            return Problem(f"cannot set `{target}`: there is no node `{id}`", hint, code="unknown-target")
        old = self.nodes[id]
        self.nodes[id] = replace(old, inputs=MappingProxyType({**old.inputs, name: freeze(given)}))
        return None

    def _put(self, name: str, given: Any, among: dict[str, Any], what: str) -> Problem | None:
        if name not in among:
            known = f"its {what}s are: {listed(among)}" if among else f"it has no {what}s"
            message = f"cannot replace `{name}`: the graph has no such {what}"
            return Problem(message, nearest(name, among) or known, code="unknown-target")
        among[name] = given
        return None

    def _set_parameter(self, name: str, given: Any) -> Problem | None:
        if name not in self.parameters:
            known = f"its parameters are: {listed(self.parameters)}" if self.parameters else "it has no parameters"
            hint = f"{nearest(name, self.parameters) or known}; an input of a node is set as NODE.INPUT"
            return Problem(f"cannot set `{name}`: the graph has no such parameter", hint, code="unknown-target")
        self.parameters[name] = replace(self.parameters[name], default=freeze(given), has_default=True)
        return None
