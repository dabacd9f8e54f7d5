"""Texts with bytes that are not UTF-8: found, and escaped where they are shown."""

from __future__ import annotations

import os

import pytest

from weft.engine.unicode_text import escaped, escaped_texts, is_unicode


@pytest.mark.parametrize("text", ["", "a", "\u00e9", "e\u0301", "\U0001f389", "\ufffe"])
def test_unicode_stays_as_it_is(text: str) -> None:
    assert is_unicode(text) and escaped(text) == text


def test_bytes_that_are_not_utf8_are_escaped() -> None:
    name = os.fsdecode("\u00e9".encode() + b"\xe9.png")
    assert not is_unicode(name) and escaped(name) == "\u00e9\\xE9.png"
    assert escaped("\ud83c") == "\\uD83C"
    assert escaped_texts({name: [name, 1, None]}) == {escaped(name): [escaped(name), 1, None]}
