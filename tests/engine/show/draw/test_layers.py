"""Layers of a picture: items right of their sources, few crossings, level links, nothing overlapping."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from weft.engine.show.draw.layers import BOX_GAP, Layers, LineSegment, ranks


def test_an_item_stands_right_of_its_sources_and_near_its_targets() -> None:
    links = [("a", "b"), ("b", "c"), ("late", "c"), ("a", "c")]
    assert ranks(["a", "b", "c", "late"], links) == {"a": 0, "b": 1, "c": 2, "late": 1}


def test_links_that_close_a_circle_go_back() -> None:
    assert ranks("abc", [("a", "b"), ("b", "c"), ("c", "a")]) == {"a": 0, "b": 1, "c": 2}
    assert ranks("a", [("a", "a")]) == {"a": 0}


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=80))
def test_layers_have_no_gap(pairs: list[tuple[int, int]]) -> None:
    links = [(str(min(pair)), str(max(pair))) for pair in pairs if pair[0] != pair[1]]
    found = ranks(map(str, range(31)), links)
    assert all(found[source] < found[target] for source, target in links)
    assert set(found.values()) == set(range(max(found.values()) + 1))


def layers(segments: list[tuple[str, str]], heights: dict[str, float]) -> Layers:
    """Items linked at their tops, in the layers that the links ask for."""
    return Layers(heights, ranks(heights, segments), [LineSegment(left, 0, right, 0) for left, right in segments])


def test_links_are_untangled() -> None:
    crossed = layers([("a", "z"), ("b", "y"), ("c", "x")], dict.fromkeys("abcxyz", 10.0))
    tops = crossed.tops()
    assert [tops[left] - tops[right] for left, right in ("az", "by", "cx")] == [0, 0, 0]


def test_a_long_link_is_level() -> None:
    found = layers([("a", "pin"), ("pin", "c"), ("a", "b"), ("b", "c")], {"a": 40, "pin": 0, "b": 40, "c": 40}).tops()
    assert min(abs(found["pin"] - found["a"]), abs(found["pin"] - found["c"])) < 30


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from("uvwxyz")), max_size=20))
def test_nothing_overlaps(segments: list[tuple[str, str]]) -> None:
    made = layers(segments, dict.fromkeys("abcdefuvwxyz", 10.0))
    tops = made.tops()
    for row in made.rows:
        assert all(tops[below] - tops[above] >= 10 + BOX_GAP - 1e-6 for above, below in pairwise(row))
    assert min(tops.values()) == 0


def test_no_items_are_no_layers() -> None:
    assert Layers({}, {}, []).tops() == {}
