"""PNG text chunks: added to finished bytes, read again, and no pixel touched."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from weft.engine.png import is_png, texts, with_text


@pytest.fixture
def picture() -> bytes:
    """A small PNG."""
    stream = io.BytesIO()
    Image.linear_gradient("L").resize((8, 8)).save(stream, "png")
    return stream.getvalue()


def test_a_text_is_read_again_and_no_pixel_changes(picture: bytes) -> None:
    written = with_text(picture, {"weft": '{"title": "Höhe \N{GRINNING FACE}"}', "other": "IEND"})
    assert texts(written) == {"weft": '{"title": "Höhe \N{GRINNING FACE}"}', "other": "IEND"}
    assert Image.open(io.BytesIO(written)).tobytes() == Image.open(io.BytesIO(picture)).tobytes()


def test_other_programs_read_the_text(picture: bytes) -> None:
    opened = Image.open(io.BytesIO(with_text(picture, {"weft": "ä"})))
    opened.load()
    assert opened.info["weft"] == "ä"


def test_a_picture_without_text(picture: bytes) -> None:
    assert texts(picture) == {} and is_png(picture) and not is_png(b"GIF89a")


def test_a_damaged_picture_gives_what_is_before_the_damage(picture: bytes) -> None:
    written = with_text(picture, {"weft": "text"})
    lengths = range(0, len(written), 3)
    assert all(texts(written[:length]) in ({}, {"weft": "text"}) for length in lengths)
    assert all(set(texts(written[:n] + b"\xff\xff\xff\xff" + written[n + 4 :])) <= {"weft"} for n in (8, 33, 50))
