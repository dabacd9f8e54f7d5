"""WebP files with texts: every kind of picture keeps its size, its pixels and its transparency."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from tests.engine.test_picture_text import TEXTS, plain, read, written
from weft.engine.picture_text import with_texts
from weft.engine.webp import is_webp, with_text


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (300, 2), (16383, 1)])
@pytest.mark.parametrize(("mode", "lossless"), [("RGB", True), ("RGBA", True), ("RGB", False), ("RGBA", False)])
def test_every_kind_of_webp_keeps_size_and_alpha(mode: str, lossless: bool, size: tuple[int, int]) -> None:
    before = written(mode, size, format="WEBP", lossless=lossless)
    after = with_texts(before, TEXTS)
    one, two = Image.open(io.BytesIO(before)), Image.open(io.BytesIO(after))
    assert (one.size, one.mode, one.tobytes()) == (two.size, two.mode, two.tobytes())
    assert plain(read(after)) == plain(TEXTS)


@pytest.mark.parametrize(
    "content", [b"RIFF\x04\0\0\0WEBP", b"RIFF\x0c\0\0\0WEBPVP8 \0\0\0\0", b"RIFF\xff\xff\0\0WEBPVP8L"]
)
def test_a_file_that_is_not_whole_stays_as_it_is(content: bytes) -> None:
    assert is_webp(content) and with_text(content, {"graph": "{}"}) == content
