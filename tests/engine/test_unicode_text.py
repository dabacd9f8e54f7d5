"""Texts with bytes that are not UTF-8: found, and escaped where they are shown."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from weft.engine.unicode_text import (
    cut_to_bytes,
    escaped,
    escaped_texts,
    exact_json,
    first_characters,
    folded,
    is_unicode,
    json_text,
    read_json,
)


@pytest.mark.parametrize("text", ["", "a", "\u00e9", "e\u0301", "\U0001f389", "\ufffe"])
def test_unicode_stays_as_it_is(text: str) -> None:
    assert is_unicode(text) and escaped(text) == text


def test_bytes_that_are_not_utf8_are_escaped() -> None:
    name = os.fsdecode("\u00e9".encode() + b"\xe9.png")
    assert not is_unicode(name) and escaped(name) == "\u00e9\\xE9.png"
    assert escaped("\ud83c") == "\\uD83C"
    assert escaped_texts({name: [name, 1, None]}) == {escaped(name): [escaped(name), 1, None]}


def test_json_is_written_of_any_text() -> None:
    assert json_text({"a": "\u00e9"}) == '{"a":"\u00e9"}'.encode()
    assert json_text({"a": ["caf" + os.fsdecode(b"\xe9")]}) == b'{"a":["caf\\\\xE9"]}'


@pytest.mark.parametrize("limit", range(12))
def test_a_text_is_cut_between_whole_characters(limit: int) -> None:
    text = "e\u0301\u96ea\U0001f468\u200d\U0001f469"
    cut = cut_to_bytes(text, limit)
    assert cut in ("", "e\u0301", "e\u0301\u96ea") and len(cut.encode()) <= limit
    assert cut == first_characters(text, (limit >= 3) + (limit >= 6))


def test_names_that_are_one_file_on_some_systems_are_equal_when_folded() -> None:
    assert folded("\u00c9t\u00e9") == folded("e\u0301te\u0301") != folded("ete")


@pytest.mark.parametrize("text", ["a", "\u00e9", os.fsdecode(b"f\xe9/a")])
def test_paths_of_any_bytes_come_back_from_json(text: str) -> None:
    assert read_json(exact_json({"path": [text]})) == {"path": [text]}


def test_other_values_are_written_by_their_default() -> None:
    assert json_text({"a": Path("b")}, default=str) == b'{"a":"b"}'
    assert json_text({"a": Path(os.fsdecode(b"\xe9"))}, default=str) == b'{"a":"\\\\xE9"}'
