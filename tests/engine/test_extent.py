"""Values that grow with each node are refused where they are beyond the limits, in a run and in a plan."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.refusals import refused
from weft.engine import Engine, Given, Graph, InputError, Limits, Link, Node
from weft.engine.extent import MAX_NESTING, check_extent
from weft.nodes import Latent

SMALL = Limits(max_text=1000, max_elements=200, max_pixels=64 * 64, max_batch=4)


def nested(depth: int) -> Any:
    item: Any = []
    for _ in range(depth):
        item = [item]
    return item


TOO_MUCH = {
    "a text": ("a" * 1001, "too-long-text"),
    "texts together": (["a" * 11] * 100, "too-long-text"),
    "elements": ([0] * 201, "too-many-elements"),
    "elements of one list many times": ([[0] * 50] * 5, "too-many-elements"),
    "an object": ({str(n): n for n in range(201)}, "too-many-elements"),
    "nesting": (nested(MAX_NESTING + 1), "too-deep"),
    "a size": (Latent(64, 64, 2), "too-many-pixels"),
    "a size in a list": ([Latent(128, 64, 1)], "too-many-pixels"),
    "a batch": (Latent(8, 8, 5), "batch-too-large"),
}


@pytest.mark.parametrize("name", TOO_MUCH)
def test_what_is_larger_than_a_limit_is_refused(name: str) -> None:
    item, code = TOO_MUCH[name]
    with pytest.raises(InputError) as raised:
        check_extent(item, SMALL)
    assert raised.value.code == code and raised.value.hint


def test_what_is_as_large_as_a_limit_is_taken() -> None:
    for item in ("a" * 1000, [0] * 200, nested(MAX_NESTING - 1), Latent(64, 64, 1), Latent(8, 8, 4), None, 1.5):
        check_extent(item, SMALL)


def chain(first: Node, length: int, type: str, **inputs: Any) -> dict[str, Node]:
    """Nodes `n0`, `n1`, ... of which each takes ten times what the one before gives."""
    nodes = {"n0": first}
    for n in range(1, length):
        (name, own), *others = inputs.items()
        nodes[f"n{n}"] = Node(type, {name: own or (Link(f"n{n - 1}"),) * 10, **dict(others)})
    return nodes


GROWING = {
    "joined texts": (chain(Node("Text", {"value": "a"}), 12, "JoinText", texts=None), "too-long-text"),
    "a separator": (
        {
            "n0": Node("Text", {"value": "a" * 900}),
            "n11": Node("JoinText", {"texts": ("a",) * 90, "separator": Link("n0")}),
        },
        "too-long-text",
    ),
    "a template": (
        {
            "n0": Node("Text", {"value": "a" * 100}),
            "n11": Node("FormatText", {"template": "{0}" * 90, "values": (Link("n0"),)}),
        },
        "too-long-text",
    ),
    "lists": (chain(Node("Seeds", {"first": 1, "count": 2}), 12, "Collect", items=None), "too-many-elements"),
}


@pytest.mark.parametrize("name", GROWING)
def test_what_grows_tenfold_with_each_node_is_refused_in_a_run(name: str) -> None:
    nodes, code = GROWING[name]
    graph = Graph(nodes=nodes, outputs={"o": Link("n11")})
    with Engine(store=None, limits=SMALL) as engine, refused(code):
        engine.run(graph)


def test_what_grows_is_refused_while_a_plan_computes_a_deciding_value() -> None:
    nodes = chain(Node("Seeds", {"first": 1, "count": 2}), 9, "Collect", items=None)
    nodes |= {
        "count": Node("Count", {"items": Link("n8")}),
        "chosen": Node("Choose", {"index": Link("count"), "items": (1, 2)}),
    }
    with Engine(store=None, limits=SMALL) as engine:
        plan = engine.plan(Graph(nodes=nodes, outputs={"o": Link("chosen")}))
    assert {step.call.id: step.state for step in plan.steps}["chosen"] != "cached"


def test_lists_are_nested_without_end_in_no_type() -> None:
    nodes = {"n0": Node("Seeds", {"first": 1})}
    nodes |= {f"n{n}": Node("Collect", {"items": (Link(f"n{n - 1}"),)}) for n in range(1, 3000)}
    graph = Graph(nodes=nodes, outputs={"o": Link("n2999")})
    with Engine(store=None) as engine:
        assert not engine.check(graph).problems
        with refused("too-deep"):
            engine.run(graph)


@pytest.mark.parametrize(
    ("input", "given", "code"), [("width", 128, "too-many-pixels"), ("batch_size", 5, "batch-too-large")]
)
def test_the_check_of_a_node_type_holds_for_values_over_links_too(input: str, given: int, code: str) -> None:
    empty: dict[str, Given] = {"width": 8, "height": 64, "batch_size": 1, input: Link("number")}
    nodes = {"number": Node("Integer", {"value": given}), "empty": Node("EmptyLatent", empty)}
    with Engine(store=None, limits=SMALL) as engine, refused(code, node="empty"):
        engine.run(Graph(nodes=nodes, outputs={"o": Link("empty")}))


def test_limits_that_are_raised_hold() -> None:
    limits = replace(SMALL, max_pixels=128 * 64)
    with Engine(store=None, limits=limits) as engine:
        nodes = {
            "width": Node("Integer", {"value": 128}),
            "empty": Node("EmptyLatent", {"width": Link("width"), "height": 64}),
        }
        assert engine.run(Graph(nodes=nodes, outputs={"o": Link("empty")})).status == "done"
        with refused("too-many-pixels", node="empty"):
            engine.plan(
                Graph(nodes={"empty": Node("EmptyLatent", {"width": 256, "height": 64})}, outputs={"o": Link("empty")})
            )
