"""What means nothing is in no key: ids, order, titles, notes, layout. What differs in a value's last bit or type is."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from random import Random
from typing import Any, cast

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.engine.random_graphs import TYPES, grown
from tests.engine.random_values import LITERALS, VALUES, near, tagged
from weft.engine import Engine, Graph, GraphError, Link, Node, NodeType, node
from weft.engine.graph.document import read, write
from weft.engine.keys import encode
from weft.engine.store.codec import content_digest
from weft.engine.store.memory import MemoryStore

RANDOM = st.randoms(use_true_random=False)


@node
def Keep(anything: Any) -> Any:
    """Give back what comes."""
    return anything


@node
def Whole(anything: int) -> int:
    """An int."""
    return anything


@node
def Real(anything: float) -> float:
    """A float."""
    return anything


@node
def Reals(anything: list[float]) -> list[float]:
    """Floats."""
    return anything


@node
def Text(anything: str) -> str:
    """A text."""
    return anything


KEEPERS = cast("tuple[NodeType, ...]", (Keep, Whole, Real, Reals, Text))

KEPT = {"value": {"a": [1, 2.5, None, {"c": True, "b": "x"}], "e": {"g": [], "f": {}}, "d": "ä"}}
"""An object literal with keys to permute at each level."""


def nested(graph: Graph) -> dict[str, Any]:
    """A document of a graph as it is and as a subgraph, next to a node with an object for a literal."""
    document: dict[str, Any] = json.loads(write(graph))
    output = next(iter(document["outputs"]))
    nodes = {"inner": {"type": "graph:part"}, "kept": {"type": "Keep", "inputs": {"anything": KEPT}}}
    outputs = {"again": {"link": f"inner.{output}"}, "object": {"link": "kept"}}
    return {
        **document,
        "nodes": {**document["nodes"], **nodes},
        "outputs": {**document["outputs"], **outputs},
        "graphs": {"part": {name: part for name, part in document.items() if name not in ("weft", "$schema")}},
    }


def adorned(chance: Random, document: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """A document with its nodes renamed, and other titles, notes and places in an editor."""
    nodes = {
        names[id]: {**one, "inputs": relinked(one.get("inputs", {}), names), "notes": f"note {chance.random()}"}
        for id, one in document["nodes"].items()
    }
    words = {"title": f"title {chance.random()}", "description": "other", "notes": "other"}
    outputs = relinked(document["outputs"], names)
    graphs = {name: adorned(chance, one, names) for name, one in document.get("graphs", {}).items()}
    layout = {id: [chance.random(), 2] for id in nodes}
    return {**document, **words, "nodes": nodes, "outputs": outputs, "graphs": graphs, "layout": layout}


def relinked(item: Any, names: Mapping[str, str]) -> Any:
    """Inputs or outputs with their links to the new names."""
    if isinstance(item, list):
        return [relinked(element, names) for element in item]
    if not isinstance(item, dict):
        return item
    if item.keys() == {"link"}:
        id, dot, output = item["link"].partition(".")
        return {"link": names[id] + dot + output}
    return {name: relinked(element, names) for name, element in item.items()}


def permuted(chance: Random, item: Any) -> Any:
    """A JSON value with the keys of every object in it in another order."""
    if isinstance(item, list):
        return [permuted(chance, element) for element in item]
    if isinstance(item, dict):
        return {name: permuted(chance, part) for name, part in chance.sample([*item.items()], len(item))}
    return item


def keys(engine: Engine, graph: Graph) -> dict[str, tuple[str | None, ...]]:
    """Each node's recipe, partial and content key."""
    return {step.call.id: (step.recipe, step.partial, step.content) for step in engine.plan(graph).steps}


def graph_of(document: Mapping[str, Any]) -> Graph:
    """A document as a graph of light nodes."""
    return replace(read(json.dumps(document)), types={**TYPES, "Keep": cast(NodeType, Keep)})


@settings(max_examples=150)
@given(RANDOM)
def test_names_order_titles_notes_and_layout_are_in_no_key(chance: Random) -> None:
    document = nested(grown(chance, ("Number", "Sum", "Split", "Count")))
    chance = Random(chance.random())
    ids = [*document["nodes"]]
    names = dict(zip(ids, chance.sample([*ids, "other", "x-1", "_"], len(ids)), strict=True))
    first, then = graph_of(document), graph_of(permuted(chance, adorned(chance, document, names)))
    engine = Engine(store=MemoryStore(), device="cpu")
    for _ in ("new", "kept"):
        renamed = {"/".join(names[part] for part in id.split("/")): found for id, found in keys(engine, first).items()}
        assert keys(engine, then) == renamed
        engine.run(first)
    assert not engine.run(then).ran


@settings(max_examples=150)
@given(VALUES, RANDOM)
def test_values_that_differ_in_the_least_have_other_encodings_and_digests(one: Any, chance: Random) -> None:
    other = near(chance, one)
    assume(tagged(one) != tagged(other))
    assert encode(one) != encode(other)
    assert content_digest(one) != content_digest(other)


def applied(engine: Engine, one: Any) -> Iterator[tuple[str, Any, str]]:
    """Each declared type that takes a value, with what the value is in it, and the recipe key of a node given it."""
    for type in KEEPERS:
        graph = Graph(
            nodes={"n": Node(type.name, {"anything": one})}, outputs={"n": Link("n")}, types={type.name: type}
        )
        try:
            step = engine.plan(graph).steps[0]
        except GraphError:
            continue
        yield type.name, tagged(step.call.inputs["anything"]), step.recipe


@settings(max_examples=150)
@given(LITERALS, RANDOM)
def test_a_key_differs_exactly_where_the_value_in_its_declared_type_does(one: Any, chance: Random) -> None:
    engine = Engine(store=None, device="cpu")
    found = {type: (value, recipe) for type, value, recipe in applied(engine, near(chance, one))}
    for type, value, recipe in applied(engine, one):
        assert type not in found or (found[type][0] == value) == (found[type][1] == recipe)
