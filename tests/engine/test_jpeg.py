"""JPEG files with texts: a long packet is split over segments, which are read in any order."""

from __future__ import annotations

import io

from tests.engine.test_picture_text import LONG, plain, read, written
from weft.engine import jpeg


def test_a_long_packet_is_split_as_extended_xmp() -> None:
    content = jpeg.with_text(written(format="JPEG"), LONG)
    assert content.count(b"http://ns.adobe.com/xmp/extension/\0") > 10 and b"HasExtendedXMP" in content


def test_the_parts_of_a_packet_are_read_in_any_order() -> None:
    content = jpeg.with_text(written(format="JPEG"), LONG)
    begin = content.index(b"\xff\xe1", content.index(b"HasExtendedXMP"))
    parts = []
    while content[begin : begin + 2] == b"\xff\xe1":
        end = begin + 2 + int.from_bytes(content[begin + 2 : begin + 4], "big")
        parts.append(content[begin:end])
        begin = end
    shuffled = content.replace(b"".join(parts), b"".join(parts[::-1]))
    assert shuffled != content and plain(read(shuffled)) == plain(LONG)


def test_a_picture_without_texts_has_none() -> None:
    assert jpeg.texts(io.BytesIO(written(format="JPEG")), 1000) == {}
