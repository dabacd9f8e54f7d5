"""A small picture in a terminal, drawn with half blocks: a character shows two pixels, one above the other."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.text import Text

UPPER_HALF = "▀"


def to_blocks(png: bytes, columns: int, rows: int) -> Text:
    """A PNG as coloured text with the same proportions, in at most `columns` and `rows`."""
    import PIL.Image
    from rich.text import Text

    picture = PIL.Image.open(BytesIO(png)).convert("RGB")
    picture.thumbnail((columns, 2 * rows), PIL.Image.Resampling.BOX)
    pixels = picture.load()
    assert pixels is not None  # converted pictures are loaded
    text = Text()
    for y in range(0, picture.height - picture.height % 2, 2):
        for x in range(picture.width):
            text.append(UPPER_HALF, f"{_colour(pixels[x, y])} on {_colour(pixels[x, y + 1])}")
        text.append("\n")
    return text


def _colour(pixel: object) -> str:
    assert isinstance(pixel, tuple)
    red, green, blue = pixel
    return f"rgb({red},{green},{blue})"
