"""Pictures that would take more memory than the limit of pixels are refused from their headers."""

from __future__ import annotations

import struct
import zlib
from contextlib import nullcontext
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image as Pictures

from tests.refusals import refused
from weft.engine import Engine, Graph, Limits
from weft.nodes import LoadImage, SaveImage


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("loaded")


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, *chunks: bytes) -> bytes:
    """A PNG of grey levels, of which nearly all are missing."""
    head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    levels = png_chunk(b"IDAT", zlib.compress(bytes(min(width + 1, 2**16) * min(height, 8))))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + levels + png_chunk(b"IEND", b"")


def webp(kind: bytes, body: bytes) -> bytes:
    chunk = kind + struct.pack("<I", len(body)) + body
    return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk


def jpeg(width: int, height: int) -> bytes:
    packed = BytesIO()
    Pictures.new("L", (8, 8)).save(packed, "JPEG")
    content = packed.getvalue()
    start = content.index(b"\xff\xc0") + 5
    return content[:start] + struct.pack(">HH", height, width) + content[start + 4 :]


BOMBS = {
    "large.png": png(60_000, 60_000),
    "wide.png": png(2**31 - 1, 1),
    "large.jpg": jpeg(65_000, 65_000),
    "canvas.webp": webp(b"VP8X", bytes([2, 0, 0, 0]) + (2**24 - 1).to_bytes(3, "little") * 2),
    "lossless.webp": webp(b"VP8L", b"\x2f" + (16_383 + (16_383 << 14)).to_bytes(4, "little")),
    "lossy.webp": webp(b"VP8 ", b"\x30\x01\x00\x9d\x01\x2a" + (16_383).to_bytes(2, "little") * 2),
}
"""Small files of pictures that would take gigabytes."""


@pytest.mark.parametrize("name", BOMBS)
def test_a_picture_beyond_the_limit_is_refused_from_its_header(name: str, folder: Path) -> None:
    (folder / name).write_bytes(BOMBS[name])
    engine = Engine(store=None, device="cpu", inputs=[folder], limits=Limits(max_pixels=2**26))
    with refused("too-many-pixels"):  # decoded, it would be a damaged file
        engine.run_now(LoadImage, {"path": name})  # type: ignore[arg-type]


@pytest.mark.parametrize("limit", [48, 47])
def test_a_picture_at_the_limit_is_read(limit: int, folder: Path) -> None:
    engine = Engine(store=None, device="cpu", inputs=[folder], limits=Limits(max_pixels=limit))
    for name in ("exact.png", "exact.webp", "exact.jpg"):
        Pictures.new("RGB", (8, 6)).save(folder / name)
        with nullcontext() if limit == 48 else refused("too-many-pixels"):
            assert engine.run_now(LoadImage, {"path": name}).pixels.shape == (1, 6, 8, 3)  # type: ignore[arg-type]


def test_a_file_that_is_too_large_for_a_picture_is_refused_by_check(folder: Path) -> None:
    """Before its content is hashed, which would take minutes."""
    with (folder / "giant.png").open("wb") as file:
        file.write(png(8, 8))
        file.truncate(2**40)
    with Graph() as graph:
        SaveImage(LoadImage("giant.png"))
    (problem,) = Engine(store=None, device="cpu", inputs=[folder]).check(graph).problems
    assert (problem.code, problem.node, problem.input) == ("too-many-pixels", "load_image", "path")


def test_a_picture_beyond_pillow_s_own_limit_is_read_within_the_limit_of_the_user(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Pictures, "MAX_IMAGE_PIXELS", 10)
    Pictures.new("L", (8, 6)).save(folder / "beyond.png")
    with Graph() as graph:
        graph.output("picture", LoadImage("beyond.png"))
    with Engine(store=None, device="cpu", inputs=[folder], limits=Limits(max_pixels=48)) as engine:
        assert engine.run(graph).outputs["picture"].pixels.shape == (1, 6, 8, 3)
    assert Pictures.MAX_IMAGE_PIXELS == 10
