"""Words that are refused are found in any case, through weights and marks, and not within other words."""

from __future__ import annotations

import pytest

from tests.refusals import refused
from weft.engine.refused_words import check_words, refused_word

WORDS = ("gore", "red  car")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("much GORE", "gore"),
        ("go(re:1.2), lake", "gore"),
        ("g\u200bore", "gore"),
        ("\uff47ore", "gore"),
        ("a red\ncar", "red\ncar"),
        ("gorecki", ""),
        ("a car, red", ""),
        ("", ""),
    ],
)
def test_the_first_word_is_found(text: str, found: str) -> None:
    assert refused_word(text, WORDS) == found and refused_word(text, ()) == ""


def test_a_text_with_one_is_refused() -> None:
    check_words("a lake", WORDS)
    with refused("refused-word"):
        check_words("gore!", WORDS)
