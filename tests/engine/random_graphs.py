"""Random graphs of light nodes, some in threads, random edits of them, and a naive model of what must be computed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, NamedTuple, cast

from weft.engine import Artifact, Graph, Link, Node, NodeType, node


class Halves(NamedTuple):
    """Two outputs, of which one changes with every number and the other seldom."""

    half: int
    odd: int


@node
def Number(value: int) -> int:
    """A number."""
    return value


@node
def Sum(numbers: list[int], factor: int = 1) -> int:
    """Add up."""
    return factor * sum(numbers)


@node(lane="io")
def Split(number: int) -> Halves:
    """Halve; many numbers are odd alike."""
    return Halves(number // 2, number % 2)


@node
def Count(number: int) -> list[int]:
    """The numbers below one."""
    return list(range(number % 4))


@node
def Write(number: int, name: str = "number") -> Artifact:
    """A sink."""
    return Artifact(str(number).encode(), "application/json", name)


@node(lane="io")
def Invert(number: int) -> int:
    """Divide by a number, which may be zero."""
    return 12 // number


TYPES = {type.name: type for type in cast("tuple[NodeType, ...]", (Number, Sum, Split, Count, Write, Invert))}
SURE = tuple(name for name in TYPES if name != "Invert")
"""The types that never raise."""


def grown(chance: Random, types: tuple[str, ...] = SURE) -> Graph:
    """A graph of up to eight nodes, each of which takes from some before it; one to three of them are outputs."""
    nodes: dict[str, Node] = {}
    for index in range(chance.randint(1, 8)):
        type = TYPES[chance.choice(types)]
        required = [one for one in type.inputs.values() if one.required or chance.random() < 0.3]
        nodes[f"n{index}"] = Node(type.name, {one.name: _given(chance, str(one.type), nodes) for one in required})
    return _wanting(chance, Graph(nodes=nodes, types=TYPES))


def _given(chance: Random, wanted: str, above: Mapping[str, Node]) -> Any:
    """A literal, or a link to an output of a node above, as an input of some type takes it."""
    fitting = _outputs(above)[wanted]
    if fitting and chance.random() < 0.7:
        return chance.choice(fitting)
    if wanted == "list of int":
        return tuple(_given(chance, "int", above) for _ in range(chance.randint(0, 3)))
    return chance.randint(0, 3) if wanted == "int" else chance.choice("ab")


def _outputs(nodes: Mapping[str, Node]) -> Mapping[str, list[Link]]:
    """Links to all outputs of some nodes, by their types."""
    links = defaultdict(list)
    for id, one in nodes.items():
        for name, output in TYPES[one.type].outputs.items():
            links[str(output.type)].append(Link(id, name))
    return links


def _wanting(chance: Random, graph: Graph) -> Graph:
    wanted = chance.sample([*graph.nodes], min(chance.randint(1, 3), len(graph.nodes)))
    links = {id: Link(id, next(iter(TYPES[graph.nodes[id].type].outputs))) for id in wanted}
    return replace(graph, outputs=links)


def edited(chance: Random, graph: Graph) -> Graph:
    """The graph with one input changed, or with other outputs; its nodes in another order."""
    if chance.random() < 0.2:
        return _wanting(chance, graph)
    id = chance.choice([*graph.nodes])
    input = chance.choice([*TYPES[graph.nodes[id].type].inputs.values()])
    above = {other: graph.nodes[other] for other in graph.nodes if int(other[1:]) < int(id[1:])}
    changed = graph.set(f"{id}.{input.name}", _given(chance, str(input.type), above))
    return replace(changed, nodes=dict(chance.sample([*changed.nodes.items()], len(changed.nodes))))


BLOCKED = "blocked"
"""What a link brings from a node that gave nothing."""


@dataclass(frozen=True)
class Brought:
    """A value that came over a link, which makes another call than the same value as a literal."""

    value: Any


@dataclass
class Model:
    """What must be computed: a call is known by its type, its literals and the values that its links bring.

    Args:
        known: what each call gave, by all that makes it.
        spoken: what the known calls say by themselves, with nothing for their links.
        keys: of the last graph, each node's call.
        computed: of the last graph, the calls that were not known before; those that raise are never known.
        outputs: of the last graph, what each node gave; None where it raised or could not be called.
    """

    known: dict[str, dict[str, Any]] = field(default_factory=dict)
    spoken: set[str] = field(default_factory=set)
    keys: dict[str, str] = field(default_factory=dict)
    computed: list[str] = field(default_factory=list)
    outputs: dict[str, dict[str, Any] | None] = field(default_factory=dict)

    def run(self, graph: Graph) -> None:
        """Compute what a graph's outputs and sinks need."""
        self.keys, self.computed, self.outputs = {}, [], {}
        sinks = [id for id, one in graph.nodes.items() if TYPES[one.type].sink]
        for id in (*sinks, *(link.node for link in graph.outputs.values())):
            self._node(graph, id)

    def _node(self, graph: Graph, id: str) -> dict[str, Any] | None:
        if id not in self.outputs:
            given = {name: self._arrived(graph, one) for name, one in completed(graph.nodes[id]).items()}
            self.outputs[id] = self._called(graph, id, given) if BLOCKED not in repr(given) else None
        return self.outputs[id]

    def _arrived(self, graph: Graph, given: Any) -> Any:
        """An input with each link replaced by the value that it brings."""
        if isinstance(given, tuple):
            return [self._arrived(graph, item) for item in given]
        if not isinstance(given, Link):
            return given
        outputs = self._node(graph, given.node)
        return Brought(outputs[str(given.output)] if outputs else BLOCKED)

    def _called(self, graph: Graph, id: str, given: dict[str, Any]) -> dict[str, Any] | None:
        type = TYPES[graph.nodes[id].type]
        key = self.keys[id] = repr((type.name, sorted(given.items())))
        if key not in self.known:
            self.computed.append(key)
            try:
                self.known[key] = type.outputs_of(type.function(**{name: _plain(one) for name, one in given.items()}))
            except ZeroDivisionError:
                return None
            self.spoken.add(own_words(graph.nodes[id]))
        return self.known[key]


def completed(one: Node) -> dict[str, Any]:
    """A node's inputs with the defaults of those that it leaves out."""
    defaults = {name: input.default for name, input in TYPES[one.type].inputs.items() if not input.required}
    return {**defaults, **one.inputs}


def own_words(one: Node) -> str:
    """What a node says by itself, with nothing for its links."""
    return repr((one.type, sorted((name, _unlinked(given)) for name, given in completed(one).items())))


def _unlinked(given: Any) -> Any:
    if isinstance(given, Link):
        return Link
    return [_unlinked(item) for item in given] if isinstance(given, tuple) else given


def _plain(given: Any) -> Any:
    if isinstance(given, Brought):
        return given.value
    return [_plain(item) for item in given] if isinstance(given, list) else given
