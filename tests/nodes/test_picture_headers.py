"""What headers of pictures say: the size in which they are read."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy
import pytest
from PIL import Image as Pictures

from tests.nodes.test_picture_reading import ALPHA, RGB, packed, read
from weft.engine import SearchPaths
from weft.nodes.picture_headers import PictureFacts
from weft.nodes.picture_sources import PICTURE_FILE


def turned(picture: Pictures.Image, orientation: int, format: str, **options: Any) -> bytes:
    exif, file = Pictures.Exif(), BytesIO()
    exif[0x0112] = orientation
    picture.save(file, format, exif=exif, **options)
    return file.getvalue()


FILES: dict[str, Callable[[], bytes]] = {
    **{
        f"{format} turned {n}": lambda format=format, n=n: turned(RGB, n, format)  # type: ignore[misc]
        for format in ("PNG", "JPEG", "WEBP", "TIFF", "AVIF")
        for n in (1, 3, 6, 7)
    },
    **{
        f"{mode} {format}": lambda mode=mode, format=format: packed(RGB.convert(mode), format)  # type: ignore[misc]
        for format, modes in (
            ("PNG", ("1", "L", "LA", "P", "RGB", "RGBA")),
            ("TIFF", ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr")),
            ("JPEG", ("L", "RGB", "CMYK")),
            ("WEBP", ("RGB", "RGBA")),
            ("GIF", ("P", "L")),
            ("BMP", ("1", "L", "P", "RGB")),
        )
        for mode in modes
    },
    "progressive JPEG": lambda: packed(RGB, "JPEG", progressive=True),
    "JPEG of comments": lambda: packed(RGB, "JPEG", comment=b"\xff\xc0" * 30),
    "lossless WebP": lambda: packed(RGB, "WEBP", lossless=True),
    "XMP that turns": lambda: packed(RGB, "WEBP", xmp=b'<x tiff:Orientation="6"/>'),
    "moving GIF": lambda: packed(RGB, "GIF", save_all=True, append_images=[ALPHA.convert("RGB")]),
}


@pytest.mark.parametrize("kind", FILES)
def test_the_header_says_the_size_that_is_read(kind: str, tmp_path: Path) -> None:
    (tmp_path / "picture.png").write_bytes(content := FILES[kind]())
    facts = PICTURE_FILE.resolve("picture.png", SearchPaths(inputs=(tmp_path,))).facts
    pixels = read(content)
    assert isinstance(facts, PictureFacts) and (facts.height, facts.width) == pixels.shape[:2]
    assert pixels.dtype == numpy.float32 and pixels.shape[2] in (3, 4) and 0 <= pixels.min() <= pixels.max() <= 1
