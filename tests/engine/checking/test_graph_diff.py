"""Two graphs compared: what was added, removed, changed and renamed, and nothing else."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from weft.engine.checking.graph_diff import diff
from weft.engine.checking.inlining import Flat
from weft.engine.graph.graph import Link, Node

BASE = {
    "load": Node("Load", {"source": "a"}),
    "good": Node("Encode", {"model": Link("load", "text"), "text": "yes"}),
    "bad": Node("Encode", {"model": Link("load", "text"), "text": ""}),
    "paint": Node("Paint", {"prompts": (Link("good"), Link("bad")), "seed": 1}),
}


def changes(first: dict[str, Node], second: dict[str, Node]) -> list[str]:
    """The changes as text."""
    return [str(change) for change in diff(Flat(first), Flat(second))]


def test_equal_graphs_have_no_difference() -> None:
    assert changes(BASE, dict(reversed(BASE.items()))) == []


def test_inputs_that_differ_are_named() -> None:
    changed = BASE | {"paint": Node("Paint", {"prompts": (Link("good"),), "seed": 2, "steps": 9})}
    assert changes(BASE, changed) == [
        "~ paint (Paint): `prompts` [good, bad] -> [good], `seed` 1 -> 2, `steps` default -> 9",
    ]


def test_nodes_that_come_and_go() -> None:
    without = {id: node for id, node in BASE.items() if id != "bad"}
    assert changes(without, BASE) == ["+ bad (Encode)"]
    assert changes(BASE, without) == ["- bad (Encode)"]


def test_another_type_is_another_node() -> None:
    assert changes(BASE, BASE | {"load": Node("Open", {"source": "a"})}) == ["+ load (Open)", "- load (Load)"]


@given(st.permutations(["w", "x", "y", "z"]))
def test_renamed_nodes_are_matched_by_structure(names: list[str]) -> None:
    new = dict(zip(BASE, names, strict=True))
    links: dict[str, dict[str, Any]] = {
        "load": {"source": "a"},
        "good": {"text": "yes"},
        "bad": {"text": ""},
        "paint": {"seed": 1},
    }
    links["good"]["model"] = links["bad"]["model"] = Link(new["load"], "text")
    links["paint"]["prompts"] = (Link(new["good"]), Link(new["bad"]))
    renamed = {new[id]: Node(BASE[id].type, links[id]) for id in sorted(BASE)}
    assert sorted(changes(BASE, renamed)) == sorted(
        f"= {new[id]} ({node.type}): was `{id}`" for id, node in BASE.items()
    )


def test_a_circle_is_compared_all_the_same() -> None:
    circle = {"a": Node("Add", {"x": Link("b")}), "b": Node("Add", {"x": Link("a"), "y": 1})}
    assert changes(circle, circle | {"b": Node("Add", {"x": Link("a"), "y": 2})}) == ["~ b (Add): `y` 1 -> 2"]
