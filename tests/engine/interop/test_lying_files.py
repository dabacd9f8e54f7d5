"""Files of ComfyUI's that lie end in problems within two seconds, whatever is wrong with them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.nodes.interop.classic import api, editor
from weft.engine import GraphError, Problem
from weft.engine.graph import document

Tree = dict[str, Any]


def problems_of(text: str) -> list[Problem]:
    """What reading a text ends in, within two seconds of this process's time."""
    begun = time.process_time()
    try:
        found = list(document.read(text).faults)
    except GraphError as fault:
        found = list(fault.problems)
    assert time.process_time() - begun < 2
    return found


def edited(nodes: list[Any], links: list[Any], **more: Any) -> Tree:
    return {"version": 0.4, "nodes": nodes, "links": links, **more}


def chain(count: int) -> Tree:
    """The classic graph with a row of nodes behind it."""
    tree, last = api(), "8"
    for number in range(count):
        tree[f"i{number}"] = {"class_type": "ImageInvert", "inputs": {"image": [last, 0]}}
        last = f"i{number}"
    tree["9"]["inputs"]["images"] = [last, 0]
    return tree


def wide_bypass(count: int) -> Tree:
    """A bypassed node with as many inputs as links lead from it."""
    slots = [{"name": f"a{one}", "type": f"T{one}", "link": one} for one in range(count)]
    outputs = [{"name": "out", "type": "Q"}] * count
    nodes = [{"id": 1, "type": "X", "mode": 4, "inputs": slots, "outputs": outputs}]
    nodes.append({"id": 2, "type": "PreviewImage", "inputs": slots})
    return edited(nodes, [[one, 1, one, 2, one, "Z"] for one in range(count)])


def variables(count: int) -> Tree:
    """Many variables, each read many times."""
    slot = {"name": "a", "type": "*", "link": 10**6}
    nodes: list[Any] = [
        {"id": one, "type": "SetNode", "widgets_values": [f"v{one}"], "inputs": [slot]} for one in range(count)
    ]
    nodes += [{"id": count + one, "type": "GetNode", "widgets_values": [f"v{count - 1}"]} for one in range(count)]
    sinks = [{"name": "images", "type": "IMAGE"}]
    nodes += [
        {"id": 2 * count + one, "type": "PreviewImage", "inputs": [{**sinks[0], "link": one}]} for one in range(count)
    ]
    return edited(nodes, [[one, count + one, 0, 2 * count + one, 0, "*"] for one in range(count)])


def nested(levels: int, width: int, *, cyclic: bool = False) -> Tree:
    """Subgraphs in subgraphs."""

    def sheet(level: int) -> Tree:
        inner = 0 if cyclic and level + 1 == levels else level + 1
        nodes = [{"id": one, "type": f"u{inner}", "inputs": [], "outputs": []} for one in range(width)]
        return {"id": f"u{level}", "nodes": nodes, "links": [], "inputs": [], "outputs": []}

    return edited([{"id": 1, "type": "u0"}], [], definitions={"subgraphs": [sheet(one) for one in range(levels)]})


def classic(**inputs: Any) -> Tree:
    return api() | {"6": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["4", 1], "text": "a"} | inputs}}


LARGE: dict[str, tuple[Callable[[int], Tree | str], str]] = {
    "a row of nodes": (lambda size: chain(12_000 * size), "too-many-nodes"),
    "no nodes": (lambda size: {str(one): {"class_type": 1} for one in range(20_000 * size)}, "foreign-graph"),
    "many inputs": (lambda size: classic(**{f"x{one}": 1 for one in range(30_000 * size)}), "foreign-graph"),
    "embeddings": (
        lambda size: classic(text="".join(f"embedding:a{one} " for one in range(50_000 * size))),
        "unmapped-node",
    ),
    "a circle": (
        lambda size: chain(400 * size) | {"8": {"class_type": "ImageInvert", "inputs": {"image": ["i399", 0]}}},
        "cycle",
    ),
    "a wide node that is bypassed": (lambda size: wide_bypass(3_000 * size), "missing-input"),
    "variables": (lambda size: variables(160 * size), "missing-input"),
    "subgraphs that grow": (lambda size: nested(40, 3), "too-many-nodes"),
    "subgraphs that are deep": (lambda size: nested(60, 1), "foreign-graph"),
    "subgraphs in themselves": (lambda size: nested(3, 1, cyclic=True), "foreign-graph"),
    "lists in lists": (
        lambda size: '{"1": {"class_type": "SaveImage", "inputs": {"images": ' + "[" * 10**5,
        "too-deep",
    ),
    "no number": (lambda size: json.dumps(api(cfg=float("nan"))), "not-a-number"),
    "a huge number": (lambda size: json.dumps(api(steps=10**400)), "not-a-number"),
}


@pytest.mark.parametrize("size", [1, pytest.param(10, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", LARGE)
def test_large_and_circular_files_end_in_a_problem(name: str, size: int) -> None:
    """Files of about 10 MB: `pytest -m slow tests/engine/interop/test_lying_files.py`."""
    made, code = LARGE[name]
    tree = made(size)
    assert code in {one.code for one in problems_of(tree if isinstance(tree, str) else json.dumps(tree))}


def test_two_nodes_of_one_id_are_reported() -> None:
    tree = editor()
    tree["nodes"] = [*tree["nodes"], {**tree["nodes"][0], "id": str(tree["nodes"][0]["id"])}]
    assert [one.code for one in problems_of(json.dumps(tree))] == ["foreign-graph"]


ODD: list[Any] = [
    *(None, True, -1, 2**63, -(10**18), 1e308, 0.5, "", "x", "nan", "\0", "é" * 300, [], {}, [[]], [1]),
    *(["4", 0], ["4", 99], ["4", -1], [4, 0], ["nowhere", 0], ["4", "0"], {"__value__": [1, 2]}, {"link": "a"}),
    *("embedding:", "(((", "a\\b.safetensors", "-10", -10, -20, 4, "KSampler", "Reroute", "PrimitiveNode", "SetNode"),
]


def places(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every part of a tree."""
    inner = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [path, *(found for key, one in inner for found in places(one, (*path, key)))]


def changed(tree: Any, path: tuple[Any, ...], value: Any) -> Any:
    """The tree with another value at a place."""
    if not path:
        return value
    if isinstance(tree, dict):
        return {key: changed(one, path[1:], value) if key == path[0] else one for key, one in tree.items()}
    if isinstance(tree, list):
        return [changed(one, path[1:], value) if at == path[0] else one for at, one in enumerate(tree)]
    return tree


TREES = [api(), editor(0.4), editor(1)]
PLACES = [places(tree) for tree in TREES]


@given(st.integers(0, 2), st.lists(st.tuples(st.integers(0), st.sampled_from(ODD)), min_size=1, max_size=5))
@settings(max_examples=40)
def test_changed_files_are_graphs_or_problems(kind: int, changes: list[tuple[int, Any]]) -> None:
    tree: Any = TREES[kind]
    for place, value in changes:
        path = PLACES[kind][place % len(PLACES[kind])]
        tree = changed(tree, path, value)
    problems_of(json.dumps(tree))
