"""Pictures side by side, to compare them: ImageGrid."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from weft.engine import INJECTED, Context, InputError, Range, check_pixels, node
from weft.nodes.value_checks import empty_list, has_some
from weft.nodes.values import Image

if TYPE_CHECKING:
    from torch import Tensor

LABEL_HEIGHT = 20
"""Height of the label above a picture, in pixels."""

GAP = 4
"""Pixels between two pictures."""


@node(category="image", check=has_some("images", "picture"))
def ImageGrid(
    images: list[Image],
    labels: list[str] | None = None,
    *,
    columns: Annotated[int, Range(0, 1000)] = 0,
    context: Context = INJECTED,
) -> Image:
    """Arrange pictures of one size in a grid on white, each under its label.

    Args:
        images: in order; each item of a batch is one picture.
        labels: one for each picture, or none.
        columns: pictures in a row; 0 puts all into one row.
    """
    import torch

    tiles = [_opaque(item) for image in images for item in image.pixels]
    _check(tiles, labels)
    height, width, _ = tiles[0].shape
    height += LABEL_HEIGHT if labels else 0
    across = columns or len(tiles)
    down = -(-len(tiles) // across)
    wide, high = across * (width + GAP) - GAP, down * (height + GAP) - GAP
    check_pixels(wide, high, 1, context.limits)
    if labels:
        tiles = [torch.cat([_strip(label, tile.shape[1]), tile]) for label, tile in zip(labels, tiles, strict=True)]
    grid = torch.ones(high, wide, 3, dtype=torch.float32)
    for index, tile in enumerate(tiles):
        top, left = index // across * (height + GAP), index % across * (width + GAP)
        grid[top : top + height, left : left + width] = tile
    return Image(grid[None])


def _check(tiles: list[Tensor], labels: list[str] | None) -> None:
    if not tiles:
        raise empty_list("picture")
    sizes = list(dict.fromkeys(f"{tile.shape[1]} x {tile.shape[0]}" for tile in tiles))
    if len(sizes) > 1:
        raise InputError(
            f"the pictures are of several sizes: {', '.join(sizes)}", "give pictures of one size", "size-mismatch"
        )
    if labels and len(labels) != len(tiles):
        raise InputError(
            f"{len(labels)} labels for {len(tiles)} pictures",
            "give one label for each picture, or none",
            "batch-mismatch",
        )


def _opaque(item: Tensor) -> Tensor:
    """A picture `[height, width, channel]` without its transparency, over white."""
    if item.shape[-1] == 3:
        return item
    return item[..., :3] * item[..., 3:] + (1 - item[..., 3:])


def _strip(label: str, width: int) -> Tensor:
    """A label as a strip `[LABEL_HEIGHT, width, 3]`, in the middle, in one line, cut where it is too long."""
    import PIL.Image
    import PIL.ImageDraw
    import PIL.ImageFont
    import torch

    strip = PIL.Image.new("RGB", (width, LABEL_HEIGHT), "white")
    font = PIL.ImageFont.load_default(13)
    draw = PIL.ImageDraw.Draw(strip)
    label = " ".join(label.split())
    while len(label) > 1 and draw.textlength(label, font) > width:
        label = label[:-2].rstrip() + "…"
    draw.text((width / 2, LABEL_HEIGHT / 2), label, "black", font, anchor="mm")
    samples = torch.frombuffer(bytearray(strip.tobytes()), dtype=torch.uint8)
    return samples.reshape(LABEL_HEIGHT, width, 3).float() / 255
