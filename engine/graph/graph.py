"""Graph: a frozen value that is filled while its own `with Graph():` block composes it.

    with Graph(title="Two numbers") as graph:
        Show(Add(1, 2))

A graph is the content of a graph file, before any node type is looked up; `weft.engine.graph.document` reads and writes
files, `weft.engine.checking.checker` finds what is wrong.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from contextvars import Token
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from weft.engine.atomic_write import write_file
from weft.engine.errors import GraphError, Problem, listed, nearest
from weft.engine.graph.builder import CURRENT, Builder, caller, current, other_graph
from weft.engine.graph.parts import (
    ComposedType,
    Given,
    Link,
    Literal,
    Node,
    Parameter,
    ParameterReference,
    freeze,
    is_importable,
    links_of,
)
from weft.engine.mimebundle import Displayed
from weft.engine.types import spelled

__all__ = ["Given", "Graph", "Link", "Literal", "Node", "Parameter", "freeze", "links_of"]

_CONTENT = ("title", "nodes", "parameters", "outputs", "graphs", "description", "keywords", "notes", "layout")
"""What graphs are compared by."""

_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, eq=False)
class Graph(Displayed):
    """A graph of nodes by id, with parameters, named outputs and named subgraphs.

    Inside its `with` block the node types that are called add nodes to it; it is frozen when the block ends.

    Args:
        path: the file that it was read from; files that it names are looked up in its folder.
        contents: digests of files that it names, by name, where a picture carried it.
        types: the node types that it was composed with in Python; no part of comparisons.
        faults: problems of its file that reading found; the checker reports them.
        keywords: what else people call what it does, for those who search among graphs.
        foreign: whether it was read from another program's file; its faults are about what was left out then.
        carries: texts of other programs that its pictures carry next to it, by their names in a picture, such as the
            workflow of ComfyUI's that it was read from; no part of comparisons.
        lineage: names the graph and those that `replace` and copies made of it: links that were made in the block of
            one may be used in the blocks of the others. No part of comparisons.
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
    keywords: tuple[str, ...] = ()
    foreign: bool = field(default=False, repr=False)
    carries: Mapping[str, str] = field(default_factory=dict, repr=False)
    lineage: str = field(default_factory=lambda: os.urandom(8).hex(), repr=False)

    def __enter__(self) -> Graph:
        builder = Builder(
            dict(self.nodes),
            dict(self.types),
            dict(self.graphs),
            dict(self.parameters),
            dict(self.outputs),
            self.lineage,
        )
        object.__setattr__(self, "_token", (CURRENT.set(builder), builder))
        return self

    def __exit__(self, *_: object) -> None:
        token: Token[Builder | None]
        token, builder = self.__dict__.pop("_token")
        CURRENT.reset(token)
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
        builder.outputs[name] = builder.own(link, f"output `{name}`")

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
        return ParameterReference(name, self.lineage)

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
            GraphError: with a problem for each change to something that is not there, and for each input that a
                parameter with a value sets too; unknown inputs are found by the checker.
        """
        return _edited(self, {**changes, **parameters})

    def save(self, path: str | Path) -> None:
        """Write the graph as a graph file; where that fails an older file is as it was.

        Raises:
            OSError: where the file cannot be written.
        """
        from weft.engine.graph.document import write

        write_file(path, write(self))

    @classmethod
    def load(cls, path: str | Path) -> Graph:
        """Read a graph file, or the graph that a picture carries; what is wrong with parts of it is in `faults`.

        Raises:
            GraphError: where it cannot be read or is no graph at all.
        """
        from weft.engine.graph.document import load

        return load(Path(path))

    def __copy__(self) -> Graph:
        return replace(self)

    def __deepcopy__(self, _: Mapping[int, Any]) -> Graph:
        return replace(self)  # what it holds cannot be changed

    def __getstate__(self) -> dict[str, Any]:
        """What goes to another process: node types that cannot be imported there by their names stay behind."""
        kept = {name: type for name, type in self.types.items() if is_importable(type)}
        return {**{one.name: getattr(self, one.name) for one in fields(self)}, "types": MappingProxyType(kept)}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Graph) and all(getattr(self, name) == getattr(other, name) for name in _CONTENT)

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


def _edited(graph: Graph, changes: Mapping[str, Any]) -> Graph:
    """A graph with every change made; `Graph.replace` says what a change is.

    Raises:
        GraphError: with a problem for each change to something that is not there or that a parameter overrides.
    """
    draft = _Edit(dict(graph.nodes), dict(graph.parameters), dict(graph.graphs), graph.lineage)
    problems = [problem for target, given in changes.items() if (problem := draft.change(target, given))]
    problems += set_twice(draft.parameters, changes)
    if problems:
        raise GraphError(problems)
    return replace(
        graph,
        nodes=MappingProxyType(draft.nodes),
        parameters=MappingProxyType(draft.parameters),
        graphs=MappingProxyType(draft.graphs),
    )


def set_twice(parameters: Mapping[str, Parameter], targets: Collection[str]) -> Iterator[Problem]:
    """A problem for each target `NODE.INPUT` that would have no effect, since a parameter gives that input its value.

    Args:
        targets: inputs and parameters that are set. A parameter among them gives its inputs a value, as one with a
            default does.
    """
    inputs = {target for target in targets if "." in target}
    if not inputs:
        return
    for name, parameter in parameters.items():
        if parameter.has_default or name in targets:
            for target in inputs.intersection(parameter.sets):
                message = f"cannot set `{target}`: the parameter `{name}` sets it"
                yield Problem(message, f"set `{name}` instead", code="set-twice")


@dataclass(frozen=True)
class _Edit:
    """The parts of a graph while they change."""

    nodes: dict[str, Node]
    parameters: dict[str, Parameter]
    graphs: dict[str, Graph]
    lineage: str

    def change(self, target: str, given: Any) -> Problem | None:
        """Make one change; gives the problem where there is nothing to change."""
        if "." in target:
            return self._set_input(target, given)
        if isinstance(given, Node):
            return self._put(target, Node(given.type, self._own(given.inputs), given.notes), self.nodes, "node")
        if isinstance(given, Graph):
            return self._put(target, given, self.graphs, "subgraph")
        return self._set_parameter(target, given)

    def _own(self, given: Any) -> Any:
        """A value as the graph has it.

        Raises:
            GraphError: for a link of another graph.
        """
        if isinstance(given, (list, tuple)):
            return tuple(map(self._own, given))
        if isinstance(given, Mapping):
            return MappingProxyType({name: self._own(item) for name, item in given.items()})
        if isinstance(given, Link):
            if given.source and given.source.lineage != self.lineage:
                raise other_graph(f"`{given}` is a link of another graph")
            return Link(given.node, given.output)
        return freeze(given)

    def _set_input(self, target: str, given: Any) -> Problem | None:
        id, _, name = target.partition(".")
        if id not in self.nodes:
            hint = nearest(id, self.nodes) or f"its nodes are: {listed(self.nodes)}"
            return Problem(f"cannot set `{target}`: there is no node `{id}`", hint, code="unknown-target")
        old = self.nodes[id]
        self.nodes[id] = replace(old, inputs=MappingProxyType({**old.inputs, name: self._own(given)}))
        return None

    def _put(self, name: str, given: Any, among: dict[str, Any], what: str) -> Problem | None:
        if name not in among:
            known = f"its {what}s are: {listed(among)}" if among else f"it has no {what}s"
            message = f"cannot replace `{name}`: the graph has no such {what}"
            return Problem(message, nearest(name, among) or known, code="unknown-target")
        among[name] = given
        return None

    def _inputs_called(self, name: str) -> str:
        """The hint that names the inputs of a name, where nodes have any: `did you mean `sampler.steps`?`."""
        setters = {target: parameter for parameter, one in self.parameters.items() for target in one.sets}
        targets = (f"{id}.{name}" for id, node in self.nodes.items() if name in node.inputs)
        found = [*dict.fromkeys(f"`{setters.get(target, target)}`" for target in targets)]
        return f"did you mean {' or '.join(found[:3])}?" if found else ""

    def _named_in(self, name: str) -> str:
        """The hint for a longer name of a parameter: `num_inference_steps` of `steps`."""
        found = next((part for part in name.split("_") if part in self.parameters), None)
        return f"did you mean `{found}`?" if found else ""

    def _set_parameter(self, name: str, given: Any) -> Problem | None:
        if name not in self.parameters:
            known = f"its parameters are: {listed(self.parameters)}" if self.parameters else "it has no parameters"
            near = self._inputs_called(name) or self._named_in(name) or nearest(name, self.parameters) or known
            hint = f"{near}; an input of a node is set as NODE.INPUT"
            return Problem(f"cannot set `{name}`: the graph has no such parameter", hint, code="unknown-target")
        self.parameters[name] = replace(self.parameters[name], default=freeze(given), has_default=True)
        return None
