"""Texts with choices and comments: one of each choice, by the seed alone, and everything else as it is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from weft.nodes import ChooseWords
from weft.nodes.prompting.dynamic_text import chosen, has_choices, without_comments

SEEDS = st.integers(0, 2**64 - 1)


@given(st.text("ab|{}\\\\/*\n "), SEEDS)
def test_every_text_gives_a_text_of_its_characters(text: str, seed: int) -> None:
    found = chosen(text, seed)
    assert chosen(text, seed) == found and len(found) <= len(text)


@given(st.lists(st.text("abc ", max_size=4), min_size=1, max_size=5), SEEDS)
def test_one_option_of_a_choice_is_taken(options: list[str], seed: int) -> None:
    assert chosen(f"x {{{'|'.join(options)}}} y", seed) in {f"x {one} y" for one in options}


def test_every_option_comes_about_equally_often() -> None:
    found = [chosen("{a|b|{c|d}}", seed) for seed in range(600)]
    counts = {one: found.count(one) for one in "abcd"}
    assert all(150 < counts[one] < 250 for one in "ab") and all(70 < counts[one] < 130 for one in "cd")


def test_choices_of_one_text_are_independent() -> None:
    assert {ChooseWords("{a|b} {a|b}", seed) for seed in range(50)} == {"a a", "a b", "b a", "b b"}


def test_plain_characters_stay() -> None:
    assert chosen(r"\{a|b\} (c:1.2) \(d\) e|f", 1) == r"{a|b} (c:1.2) \(d\) e|f"
    assert chosen("a } b { c", 1) == "a } b { c" and not has_choices("a } b { c")


def test_comments_are_left_out() -> None:
    assert without_comments("a // b\nc /* d\n e */ f") == "a \nc  f"
    assert chosen("// {a|b}\n{c}", 0) == "\nc" and not has_choices("/* {a|b} */")
