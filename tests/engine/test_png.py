"""PNG text chunks: added to finished bytes, read again, and no pixel touched."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib
from collections.abc import Callable

import pytest
from PIL import Image

from weft.engine import png
from weft.engine.png import with_text


def texts(content: bytes, limit: int = 10**7) -> dict[str, str]:
    """The texts of a PNG in memory."""
    return png.texts(io.BytesIO(content), limit)


def with_chunk(content: bytes, kind: bytes, body: bytes) -> bytes:
    """The PNG with one more chunk before its end."""
    end = content.rindex(b"IEND") - 4
    chunk = struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    return content[:end] + chunk + content[end:]


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
    assert texts(picture) == {}


def test_a_damaged_picture_gives_what_is_before_the_damage(picture: bytes) -> None:
    written = with_text(picture, {"weft": "text"})
    lengths = range(0, len(written), 3)
    assert all(texts(written[:length]) in ({}, {"weft": "text"}) for length in lengths)
    assert all(set(texts(written[:n] + b"\xff\xff\xff\xff" + written[n + 4 :])) <= {"weft"} for n in (8, 33, 50))


CHUNKS: dict[str, tuple[bytes, Callable[[bytes], bytes]]] = {
    "tEXt": (b"tEXt", lambda text: b"weft\0" + text),
    "zTXt": (b"zTXt", lambda text: b"weft\0\0" + zlib.compress(text)),
    "iTXt": (b"iTXt", lambda text: b"weft\0\0\0en\0weft\0" + text),
    "iTXt, compressed": (b"iTXt", lambda text: b"weft\0\1\0\0\0" + zlib.compress(text)),
}


@pytest.mark.parametrize("kind", CHUNKS)
@pytest.mark.parametrize(
    "text", ["", "{}", '{"title": "H\u00f6he \u96ea"}', "x" * 2_000_000], ids=["", "{}", "title", "long"]
)
def test_a_text_is_read_from_every_kind_of_chunk(kind: str, text: str, picture: bytes) -> None:
    name, body = CHUNKS[kind]
    assert texts(with_chunk(picture, name, body(text.encode()))) == {"weft": text}


@pytest.mark.parametrize("kind", CHUNKS)
def test_a_text_beyond_the_limit_is_left_out_and_never_unpacked(kind: str, picture: bytes) -> None:
    name, body = CHUNKS[kind]
    long = with_chunk(picture, name, body(b"\0" * 50_000_000))
    tracemalloc.start()
    assert texts(long, limit=1000) == {}
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


@pytest.mark.parametrize(
    "body", [b"", b"weft", b"weft\0", b"weft\0\1", b"weft\0\0damaged", b"weft\0\1\0\0\0damaged", b"weft\0\2\0\0\0x"]
)
@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt"])
def test_a_damaged_text_is_left_out(kind: bytes, body: bytes, picture: bytes) -> None:
    assert texts(with_text(with_chunk(picture, kind, body), {"b": "text"})) in (
        {"b": "text"},
        {"b": "text", "weft": ""},
    )


def test_a_picture_without_an_end_stays_as_it_is(picture: bytes) -> None:
    assert with_text(picture[:30], {"a": "text"}) == picture[:30]
