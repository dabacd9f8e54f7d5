"""Walks of graphs: in order, upwards, and around circles, however long the chain."""

from __future__ import annotations

from itertools import pairwise

import pytest

from weft.engine import Link, Node
from weft.engine.graph.traversal import accumulated, circles, reached, sources, topological

DIAMOND = {"end": ["left", "right"], "left": ["start"], "right": ["start"], "start": [], "other": []}


def test_each_id_comes_after_those_it_takes_from() -> None:
    order = topological(DIAMOND)
    assert sorted(order) == sorted(DIAMOND)
    assert all(order.index(source) < order.index(id) for id, sources in DIAMOND.items() for source in sources)
    assert topological({"a": [], "b": ["a"], "c": []}) == ["a", "b", "c"]


@pytest.mark.parametrize("above", [{"a": ["a"]}, {"a": ["b"], "b": ["a"]}])
def test_what_is_on_a_circle_or_below_one_has_no_place_in_the_order(above: dict[str, list[str]]) -> None:
    assert topological(above | {"below": ["a"], "free": []}) == ["free"]


def test_circles_run_along_their_links() -> None:
    (circle,) = circles({"a": ["b"], "b": ["c"], "c": ["a"], "d": ["a"]})
    assert circle[0] == circle[-1] and [*pairwise(circle)] == [("a", "c"), ("c", "b"), ("b", "a")]


def test_what_is_reached_includes_the_start_and_all_above() -> None:
    assert reached(["left"], DIAMOND.__getitem__) == {"left", "start"}
    assert reached([], DIAMOND.__getitem__) == set()


def test_labels_add_up_along_links() -> None:
    own = {"start": {1}, "right": {2}}
    found = accumulated(topological(DIAMOND), DIAMOND, lambda id: own.get(id, set()))
    assert found == {"start": {1}, "left": {1}, "right": {1, 2}, "end": {1, 2}, "other": set()}


def test_a_chain_of_a_hundred_thousand_needs_no_recursion() -> None:
    chain = {f"n{n}": [f"n{n - 1}"] if n else [] for n in range(100_000)}
    assert topological(chain) == [*chain] and len(reached(["n99999"], chain.__getitem__)) == 100_000


def test_links_in_lists_count_and_links_to_nowhere_do_not() -> None:
    nodes = {"a": Node("T"), "b": Node("T", {"x": (1, Link("a")), "y": Link("gone")})}
    assert sources(nodes) == {"a": [], "b": ["a"]}
