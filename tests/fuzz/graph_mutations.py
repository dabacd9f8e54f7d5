"""Mutations of graph files that keep them close to graphs: types, links, subgraphs, parameters, numbers of nodes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from random import Random
from typing import Any

from tests.fuzz.mutations import GENERAL, SIZES, Mutation, strange
from weft.engine.spec.catalog import installed

TYPES = ("graph:inner", "map:inner", "file:graph.json", "file:part.json", "file:../outside/graph.json", "map:", "Graph")

INNER = {
    "parameters": {"v": {"sets": ["i.value"]}},
    "nodes": {"i": {"type": "Integer", "inputs": {"value": 1}}},
    "outputs": {"o": {"link": "i"}},
}


@cache
def _types() -> Sequence[str]:
    return (*TYPES, *installed())


def _nodes(graph: Any) -> dict[str, Any]:
    """The nodes of a graph that are objects still."""
    nodes = graph.get("nodes") if isinstance(graph, dict) else None
    return {id: node for id, node in nodes.items() if isinstance(node, dict)} if isinstance(nodes, dict) else {}


def _inputs(chance: Random, graph: Any) -> dict[str, Any]:
    """The inputs of one node, to be changed in place."""
    nodes = _nodes(graph)
    node = chance.choice([*nodes.values()]) if nodes else {}
    inputs = node.setdefault("inputs", {})
    return inputs if isinstance(inputs, dict) else {}


def _part(graph: Any, name: str) -> dict[str, Any]:
    """`parameters`, `outputs` or `graphs`, to be changed in place."""
    part = graph.setdefault(name, {}) if isinstance(graph, dict) else {}
    return part if isinstance(part, dict) else {}


def _link(chance: Random, graph: Any) -> dict[str, str]:
    id = chance.choice([*_nodes(graph), "nowhere"])
    return {"link": chance.choice((id, f"{id}.{chance.choice(('model', 'o', 'image', 'x'))}"))}


def retyped(chance: Random, graph: Any) -> Any:
    """A node is of another type."""
    if nodes := _nodes(graph):
        chance.choice([*nodes.values()])["type"] = chance.choice(_types())
    return graph


def relinked(chance: Random, graph: Any) -> Any:
    """An input is a link to any node: a circle, another type, a missing output."""
    if inputs := _inputs(chance, graph):
        inputs[chance.choice([*inputs])] = _link(chance, graph)
    return graph


def listed(chance: Random, graph: Any) -> Any:
    """An input is a list of links and literals."""
    if inputs := _inputs(chance, graph):
        name = chance.choice([*inputs])
        inputs[name] = [*(_link(chance, graph) for _ in range(chance.choice(SIZES))), strange(chance), inputs[name]]
    return graph


def odd(chance: Random, graph: Any) -> Any:
    """An input has a strange value."""
    if inputs := _inputs(chance, graph):
        inputs[chance.choice([*inputs])] = strange(chance)
    return graph


def enclosed(chance: Random, graph: Any) -> Any:
    """The graph is a subgraph of another, or of itself."""
    inner = {name: part for name, part in graph.items() if name not in ("weft", "$schema")}
    nodes = {f"n{index}": {"type": chance.choice(TYPES), "inputs": {}} for index in range(chance.choice((1, 2, 20)))}
    return {
        "weft": 1,
        "nodes": {**nodes, "more": {"type": "Integer", "inputs": {"value": 1}}},
        "graphs": {"inner": inner},
    }


def mapped(chance: Random, graph: Any) -> Any:
    """A subgraph is repeated over a list: of literals, of a node, of another repeated subgraph."""
    _part(graph, "graphs")["inner"] = INNER
    count = chance.choice((1, 5, 60))
    size = chance.choice((0, 1, 20, 4096))
    lists: Any = [1] * size
    if isinstance(graph.get("nodes"), dict):
        seeds = {"type": "Seeds", "inputs": {"first": 1, "count": size}}
        graph["nodes"] |= {"seeds": seeds} | {
            f"map_{index}": {"type": "map:inner", "inputs": {"v": chance.choice((lists, {"link": "seeds"}))}}
            for index in range(count)
        }
        graph["nodes"]["again"] = {"type": "map:inner", "inputs": {"v": {"link": f"map_{count - 1}"}}}
        graph["nodes"]["join"] = {"type": "JoinText", "inputs": {"texts": {"link": "again"}}}
    return graph


def parametrised(chance: Random, graph: Any) -> Any:
    """Parameters set inputs that are there, or not."""
    inputs = [f"{id}.{name}" for id, node in _nodes(graph).items() for name in _names(node)]
    for index in range(chance.choice((1, 3, 300))):
        sets = [chance.choice((*inputs, "nowhere.x", "", "x")) for _ in range(chance.randint(0, 3))]
        given = {"default": strange(chance)} if chance.random() < 0.5 else {"max": 1, "choices": [1, "a"]}
        _part(graph, "parameters")[f"p{index}"] = {"sets": sets, **given}
    return graph


def _names(node: dict[str, Any]) -> list[str]:
    inputs = node.get("inputs")
    return [*inputs] if isinstance(inputs, dict) else []


def grown(chance: Random, graph: Any) -> Any:
    """A chain of nodes whose values grow with each, or many nodes that link to one."""
    if not isinstance(graph.get("nodes"), dict):
        return graph
    length = chance.choice((5, 40, 1000))
    kind = chance.choice(("JoinText", "FormatText", "IntegerMath", "Choose"))
    graph["nodes"]["grow_0"] = {"type": "Text", "inputs": {"value": "word " * chance.choice((1, 1000))}}
    for index in range(1, length):
        above = {"link": f"grow_{index - 1}"}
        inputs = {
            "JoinText": {"texts": [above] * 10},
            "FormatText": {"template": "{0}" * 10, "values": [above]},
            "IntegerMath": {"a": above, "b": above, "operation": "multiply"},
            "Choose": {"index": 0, "items": [above] * 10},
        }
        graph["nodes"][f"grow_{index}"] = {"type": kind, "inputs": inputs[kind]}
    _part(graph, "outputs")["grown"] = {"link": f"grow_{length - 1}"}
    return graph


def output(chance: Random, graph: Any) -> Any:
    """The graph gives something else."""
    _part(graph, "outputs")[chance.choice(("a", "b", "1", "é"))] = _link(chance, graph)
    return graph


def _whole(mutation: Mutation) -> Mutation:
    """The mutation, of documents that are objects still."""

    def mutated(chance: Random, graph: Any) -> Any:
        return mutation(chance, graph) if isinstance(graph, dict) else graph

    return mutated


MUTATIONS: Sequence[Mutation] = (
    *GENERAL,
    *map(_whole, (retyped, relinked, listed, odd, enclosed, mapped, parametrised, grown, output)),
)
