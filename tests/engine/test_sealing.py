"""Sealed files: any change of name or content is noticed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.engine.sealing import opened, sealed


@given(st.binary())
def test_what_is_sealed_is_opened_under_its_name(body: bytes) -> None:
    assert opened("a", sealed("a", body)) == body and opened("b", sealed("a", body)) is None


@pytest.mark.parametrize("cut", [0, 1, 40, -1])
def test_a_cut_file_is_not_opened(cut: int) -> None:
    assert opened("a", sealed("a", b"some text")[:cut]) is None


def test_a_changed_byte_is_noticed() -> None:
    content = sealed("a", b"some text")
    for place in range(len(content)):
        changed = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
        assert opened("a", changed) is None
