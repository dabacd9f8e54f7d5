"""The graph in JPEG and WebP files: written as XMP that other programs read, read again, and no pixel touched."""

from __future__ import annotations

import io
import random
import tracemalloc
from typing import Any

import pytest
from PIL import Image

from weft.engine import xmp
from weft.engine.picture_text import GRAPH, MAX_TEXT, RUN, texts_of, with_texts

TEXTS = {GRAPH: '{"title": "H\u00f6he \u96ea <&>\\" \U0001f600 \ufffe"}', RUN: '{"node": "save"}'}
LONG = {GRAPH: '["' + "\u96ea & <b> " * 60_000 + '"]', RUN: "{}"}
FORMS: dict[str, dict[str, Any]] = {
    "png": {"format": "PNG"},
    "jpeg": {"format": "JPEG"},
    "jpeg with more": {"format": "JPEG", "comment": b"x", "icc_profile": b"y" * 99_000, "exif": Image.Exif().tobytes()},
    "webp": {"format": "WEBP"},
    "webp, lossless": {"format": "WEBP", "lossless": True},
    "webp with more": {"format": "WEBP", "exif": Image.Exif().tobytes()},
}


def written(mode: str = "RGB", size: tuple[int, int] = (13, 7), **options: Any) -> bytes:
    """A small picture as a file."""
    picture = Image.linear_gradient("L").resize(size).convert(mode)
    if mode == "RGBA":
        picture.putalpha(Image.linear_gradient("L").resize(size))
    packed = io.BytesIO()
    picture.save(packed, **options)
    return packed.getvalue()


def read(content: bytes) -> dict[str, str]:
    """The texts of a file in memory."""
    return dict(texts_of(io.BytesIO(content), MAX_TEXT))


def plain(texts: dict[str, str]) -> dict[str, str]:
    """Texts with what XML lacks as JSON escapes it."""
    return {name: text.replace("\ufffe", "\\ufffe") for name, text in texts.items()}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("texts", [TEXTS, LONG], ids=["short", "long"])
def test_texts_are_read_again_and_no_pixel_changes(form: str, texts: dict[str, str]) -> None:
    before = written(**FORMS[form])
    after = with_texts(before, texts)
    assert plain(read(after)) == plain(texts) and read(before) == {}
    one, two = Image.open(io.BytesIO(before)), Image.open(io.BytesIO(after))
    assert (one.size, one.mode, one.tobytes()) == (two.size, two.mode, two.tobytes())
    assert one.getexif() == two.getexif() and one.info.get("icc_profile") == two.info.get("icc_profile")


@pytest.mark.parametrize("form", ["jpeg", "webp"])
def test_other_programs_read_the_xmp_and_keep_it(form: str) -> None:
    opened = Image.open(io.BytesIO(with_texts(written(**FORMS[form]), TEXTS)))
    assert xmp.properties(opened.info["xmp"])[RUN] == TEXTS[RUN]
    again = io.BytesIO()
    opened.save(again, **FORMS[form], xmp=opened.info["xmp"])
    assert read(again.getvalue())[RUN] == TEXTS[RUN]


@pytest.mark.parametrize("form", ["jpeg", "webp"])
def test_a_picture_with_xmp_of_its_own_keeps_it(form: str) -> None:
    before = written(**FORMS[form], xmp=b"<mine/>")
    assert with_texts(before, TEXTS) == before and read(before) == {}


@pytest.mark.parametrize("form", FORMS)
def test_damaged_files_give_texts_or_none(form: str) -> None:
    content, chance = with_texts(written(**FORMS[form]), LONG), random.Random(7)
    for _ in range(60):
        damaged = bytearray(content[: chance.randrange(len(content))])
        for _ in range(chance.randrange(5)):
            damaged[chance.randrange(min(len(damaged), 200)) if damaged else 0 :][:1] = bytes([chance.randrange(256)])
        assert {*read(bytes(damaged))} <= {GRAPH, RUN}


@pytest.mark.parametrize("head", [b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe1\xff\xff", b"RIFF\xff\xff\xff\x7fWEBP"])
def test_a_huge_file_of_zeros_is_not_read(head: bytes, tmp_path: Any) -> None:
    with (tmp_path / "a").open("w+b") as file:
        file.write(head)
        file.truncate(2**40)
        file.seek(0)
        tracemalloc.start()
        assert texts_of(file, MAX_TEXT) == {}
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
        tracemalloc.stop()
