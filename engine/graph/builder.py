"""Composing graphs in Python: what a `with Graph():` block collects its nodes with."""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from types import MappingProxyType, SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from weft.engine.errors import GraphError, Problem
from weft.engine.graph.parts import ID, ComposedType, Given, Link, Node, Parameter, ParameterReference, freeze, links_of

if TYPE_CHECKING:
    from weft.engine.graph.graph import Graph


@dataclass
class Builder:
    """Collects the nodes that are called inside a `with Graph():` block."""

    nodes: dict[str, Node]
    types: dict[str, ComposedType]
    graphs: dict[str, Graph]
    parameters: dict[str, Parameter]
    outputs: dict[str, Link]
    lineage: str
    _counts: dict[str, int] = field(default_factory=dict)
    _copies: dict[str, dict[str, str]] = field(default_factory=dict)

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
            return [Link(id, source=self)]
        return [Link(id, output, self) for output in type.outputs]

    def add_graph(
        self,
        kind: str,
        graph: Graph,
        given: Mapping[str, Any],
        id: str | None,
        made_at: tuple[str, int] | None = None,
    ) -> Any:
        """Add the node of a subgraph: one instance (`graph`) or one for each item of lists (`map`)."""
        name = self._subgraph(graph)
        id = self._fresh(name) if id is None else self._free(id)
        self._put(id, f"{kind}:{name}", given, made_at)
        links = {output: Link(id, output, self) for output in graph.outputs}
        return next(iter(links.values())) if len(links) == 1 else SimpleNamespace(**links)

    def _put(self, id: str, type: str, given: Mapping[str, Any], made_at: tuple[str, int] | None) -> None:
        """Add a node; the parameters that it is given set its inputs from now on."""
        items = {name: self.own(freeze(item), f"`{name}` of {type}") for name, item in given.items()}
        for name, item in items.items():
            if isinstance(item, ParameterReference):
                known = self.parameters[item.parameter]
                self.parameters[item.parameter] = replace(known, sets=(*known.sets, f"{id}.{name}"))
        inputs = {name: item for name, item in items.items() if not isinstance(item, ParameterReference)}
        self.nodes[id] = Node(type, MappingProxyType(inputs), made_at=made_at)

    def own(self, given: Any, where: str) -> Any:
        """A frozen value of an input or an output as this graph has it.

        Nodes of other graphs that it links to are copied.

        Args:
            where: what it is given to, as an error names it.

        Raises:
            GraphError: for a parameter of another graph, and for one inside of a list or an object.
        """
        if isinstance(given, tuple):
            return tuple(self.own(_no_parameter(item, where), where) for item in given)
        if isinstance(given, Mapping):
            return MappingProxyType({name: self.own(_no_parameter(item, where), where) for name, item in given.items()})
        if isinstance(given, ParameterReference) and given.lineage != self.lineage:
            raise other_graph(f"{where} is given the parameter `{given.parameter}` of another graph")
        if not isinstance(given, Link):
            return given
        known = given.source is None or given.source.lineage == self.lineage
        return Link(given.node if known else self._copied(given, where), given.output)

    def _copied(self, link: Link, where: str) -> str:
        """The id here of a node of another graph. The node is copied with what it needs, once.

        A link means the value of its node. Without the copy it would mean this graph's node of the same id.
        """
        source = cast(Builder, link.source)
        ids = self._copies.setdefault(source.lineage, {})
        new = {id for id in source.needed_by(link.node) if id not in ids}
        for name, parameter in source.parameters.items():
            if found := next((target for target in parameter.sets if target.partition(".")[0] in new), None):
                raise other_graph(
                    f"{where} is given `{link}` of another graph, whose parameter `{name}` sets `{found}`"
                )
        for id in (id for id in source.nodes if id in new):
            ids[id] = self._fresh(re.sub(r"_\d+\Z", "", id))
            self.nodes[ids[id]] = source.nodes[id]
        for id in new:
            node = source.nodes[id]
            kind, colon, name = node.type.partition(":")
            type = f"{kind}:{self._subgraph(source.graphs[name])}" if colon and name in source.graphs else node.type
            inputs = {name: _renamed(item, ids) for name, item in node.inputs.items()}
            self.nodes[ids[id]] = replace(node, type=type, inputs=MappingProxyType(inputs))
        self.types.update(source.types)
        return ids[link.node]

    def needed_by(self, id: str) -> set[str]:
        """A node and every node above it."""
        found, left = set[str](), [id]
        while left:
            if (id := left.pop()) not in found:
                found.add(id)
                left += [link.node for given in self.nodes[id].inputs.values() for link in links_of(given)]
        return found

    def _subgraph(self, graph: Graph) -> str:
        """The name of a subgraph, which is added where it is new."""
        for name, known in self.graphs.items():
            if known is graph:
                return name
        name = self._named(graph)
        self.graphs[name] = graph
        self.types.update(graph.types)
        return name

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


def _no_parameter(item: Any, where: str) -> Any:
    if isinstance(item, ParameterReference):
        message = f"{where} is given the parameter `{item.parameter}` inside of a list or an object"
        hint = "give the parameter alone; a parameter can be the whole list"
        raise GraphError([Problem(message, hint, code="nested-parameter")])
    return item


def other_graph(message: str) -> GraphError:
    hint = "make the node in this graph; or call the other graph here, as a subgraph with its parameters"
    return GraphError([Problem(message, hint, code="other-graph")])


def _renamed(given: Given, ids: Mapping[str, str]) -> Given:
    """An input of a graph, its links with new ids."""
    if isinstance(given, Link):
        return Link(ids[given.node], given.output)
    return tuple(_renamed(item, ids) for item in given) if isinstance(given, tuple) else given


def snake(name: str) -> str:
    """`TextEncode` -> `text_encode`, `KSampler` -> `k_sampler`, `VAEDecode` -> `vae_decode`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


CURRENT: ContextVar[Builder | None] = ContextVar("current graph", default=None)


def current() -> Builder | None:
    """The builder of the innermost `with Graph():` block, or None outside."""
    return CURRENT.get()


def caller() -> tuple[str, int]:
    """The file and line that called the function which calls this one."""
    frame = sys._getframe(2)
    return frame.f_code.co_filename, frame.f_lineno


@contextmanager
def composing_nothing() -> Iterator[None]:
    """Calls in the block add to no graph that is composed around it: a run may be started inside `with Graph():`."""
    token = CURRENT.set(None)
    try:
        yield
    finally:
        CURRENT.reset(token)
