"""Texts of other programs in EXIF."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from PIL.Image import Exif

from weft.engine.exif import texts

MAKE, MODEL, SOFTWARE = 0x010F, 0x0110, 0x0131


def test_only_texts_that_begin_with_their_name_are_found() -> None:
    exif = Exif()
    exif[MODEL], exif[MAKE], exif[SOFTWARE] = 'Prompt:{"a": 1}', "A camera: good", "workflow:{}"
    assert texts(exif.tobytes()) == {"prompt": '{"a": 1}', "workflow": "{}"}


@given(st.binary(max_size=60))
def test_damaged_ones_have_none(content: bytes) -> None:
    assert texts(b"Exif\0\0II*\0\x08\0\0\0" + content) == {}
