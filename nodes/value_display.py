"""Representations of values: a line of text, and for pictures a PNG for notebooks. Imports no torch."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

GAP = 4
"""Pixels between two pictures of a batch."""

MOST_COLUMNS = 8
"""Pictures in a row."""

MOST_SIDE = 2048
"""The longest side of a picture in a notebook, in pixels."""


def sized(count: int, width: int, height: int) -> str:
    """`64 x 48`, or `3 of 64 x 48`."""
    return f"{width} x {height}" if count == 1 else f"{count} of {width} x {height}"


def sheet(pixels: Tensor) -> bytes:
    """The pictures of a batch `[batch, height, width, channel]` in rows, as one PNG."""
    import PIL.Image

    count, height, width, channels = pixels.shape
    columns = min(count, MOST_COLUMNS)
    rows = -(-count // columns)
    mode = "RGBA" if channels == 4 or count > 1 else "RGB"
    whole = PIL.Image.new(mode, (columns * (width + GAP) - GAP, rows * (height + GAP) - GAP))
    for index, item in enumerate((pixels.nan_to_num().clamp(0, 1) * 255).round().byte().numpy()):
        place = (index % columns * (width + GAP), index // columns * (height + GAP))
        whole.paste(PIL.Image.fromarray(item), place)
    whole.thumbnail((MOST_SIDE, MOST_SIDE))
    packed = BytesIO()
    whole.save(packed, "PNG")
    return packed.getvalue()
