"""Plain values: arithmetic holds Python's, texts are filled in and nothing else is, faults are reported."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.refusals import refused
from weft.nodes import Boolean, FormatText, Integer, IntegerMath, JoinText, Number, NumberMath, Seeds, Text

SMALL = st.integers(-(2**31), 2**31)


def test_values_are_given_on() -> None:
    assert (Integer(3), Number(3), Text("a"), Boolean(True)) == (3, 3.0, "a", True)
    assert type(Number(3)) is float


@given(SMALL, SMALL.filter(bool))
def test_whole_numbers_divide_with_a_remainder(a: int, b: int) -> None:
    assert IntegerMath(IntegerMath(a, b, "divide") * b, IntegerMath(a, b, "remainder"), "add") == a
    assert IntegerMath(a, b, "minimum") + IntegerMath(a, b, "maximum") == IntegerMath(a, b)


def test_arithmetic_that_has_no_result_is_a_fault() -> None:
    for operation in ("divide", "remainder"):
        with refused("division-by-zero"):
            IntegerMath(1, 0, operation)
        with refused("division-by-zero"):
            NumberMath(1.0, 0.0, operation)
    with refused("not-a-number", 2**62, 8):
        IntegerMath(2**62, 8, "multiply")
    with refused("not-a-number", 1e308):
        NumberMath(1e308, 10.0, "multiply")


def test_texts_are_joined_without_the_empty_ones() -> None:
    assert JoinText(["a lake", "", "at night"]) == "a lake, at night"
    assert JoinText(["a", "b"], " / ") == "a / b"


def test_values_are_put_into_a_text() -> None:
    assert FormatText("{1} {0}, {{0}}", ["red", 2]) == "2 red, {0}"
    assert FormatText("at {0}", [7.5]) == "at 7.5"


@pytest.mark.parametrize("template", ["{1}", "{}", "{name}", "{0.__class__}", "{0!r}", "{", "}", "{0"])
def test_nothing_else_is_put_into_a_text(template: str) -> None:
    with refused("unknown-placeholder", 1):
        FormatText(template, ["x"])


def test_seeds_begin_again_after_the_last() -> None:
    assert Seeds(5, 3) == [5, 6, 7]
    assert Seeds(2**64 - 1, 2) == [2**64 - 1, 0]
    assert Seeds(10, 3, step=-5) == [10, 5, 0]
