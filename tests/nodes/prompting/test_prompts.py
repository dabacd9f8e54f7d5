"""Weights are read from prompts, and what is no weight is words."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as some

from weft.nodes.prompting.prompts import EMPHASIS, MOST, Reading, Segment, Weighted, parse, unparse

WEIGHTS = some.integers(-300, 300).map(lambda hundredths: hundredths / 100)


def merged(segments: list[Segment]) -> tuple[Segment, ...]:
    """Neighbours of one weight as one segment."""
    return parse(unparse(segments))


@pytest.mark.parametrize(
    ("prompt", "segments"),
    [
        ("a house", [("a house", 1.0)]),
        ("a (house) by", [("a ", 1.0), ("house", EMPHASIS), (" by", 1.0)]),
        ("(a (red:0.5) house:2)", [("a ", 2.0), ("red", 1.0), (" house", 2.0)]),
        (r"\(a\) \\ \n", [(r"(a) \ \n", 1.0)]),
        ("[a] house", [("[a] house", 1.0)]),
        ("(a:b)", [("a:b", EMPHASIS)]),
        ("(a:.5)(b: -1 )", [("a", 0.5), ("b", -1.0)]),
        ("(a:1e9)(b:nan)", [("a:1e9b:nan", EMPHASIS)]),
        ("", []),
        ("()", []),
    ],
)
def test_weights(prompt: str, segments: list[tuple[str, float]]) -> None:
    assert parse(prompt) == tuple(Segment(*segment) for segment in segments)


@pytest.mark.parametrize("prompt", ["a (house", "a) house", ":) a (house:1.2", "smile :-(", "(" * 9, "\\"])
def test_a_parenthesis_without_its_partner_is_a_character(prompt: str) -> None:
    assert parse(prompt) == (Segment(prompt),)


@given(some.lists(some.builds(Segment, some.text(min_size=1), WEIGHTS)))
def test_what_is_written_is_read_again(segments: list[Segment]) -> None:
    found = merged(segments)
    assert "".join(one.text for one in found) == "".join(one.text for one in segments)
    assert [one.weight for one in found for _ in one.text] == [one.weight for one in segments for _ in one.text]
    assert merged(list(found)) == found


@given(some.lists(some.sampled_from([0.5, 1.2, 2.0, -1.5]), max_size=6))
def test_weights_within_weights_multiply(weights: list[float]) -> None:
    prompt = "(" * len(weights) + "a" + "".join(f":{weight})" for weight in weights)
    (segment,) = parse(prompt)
    assert math.isclose(segment.weight, math.prod(weights), rel_tol=1e-9)


@given(some.text(alphabet="()\\:.12 a", max_size=60))
def test_any_text_is_a_prompt(prompt: str) -> None:
    assert all(segment.text and abs(segment.weight) <= MOST for segment in parse(prompt))
    assert Reading(weights=False).of(prompt).text == prompt


def test_no_depth_leads_beyond_numbers() -> None:
    assert parse("(" * 20_000 + "a" + ")" * 20_000) == (Segment("a", MOST),)


def test_a_token_weighs_what_its_first_letter_weighs() -> None:
    prompt = Weighted(parse("red (house:2)s by"))
    assert prompt.text == "red houses by"
    assert [prompt.weight(*token) for token in ((0, 3), (3, 10), (4, 10), (9, 10), (10, 13))] == [1, 2, 2, 1, 1]
