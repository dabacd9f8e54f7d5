"""Sizes and places: how a picture comes into a rectangle of another shape. Plain numbers, known before a run."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

from weft.nodes.sizes import Size

Fit = Literal["stretch", "inside", "fill", "pad"]

Anchor = Literal["centre", "top", "bottom", "left", "right", "top left", "top right", "bottom left", "bottom right"]


class SourceBox(NamedTuple):
    """A part of a picture, in pixels from its top left corner."""

    left: float
    top: float
    right: float
    bottom: float


def shares(anchor: Anchor) -> tuple[float, float]:
    """The place that an anchor stands for, in shares of what is left over across and down."""
    across = 0.0 if "left" in anchor else 1.0 if "right" in anchor else 0.5
    down = 0.0 if "top" in anchor else 1.0 if "bottom" in anchor else 0.5
    return across, down


def to_multiple(side: float, multiple: int) -> int:
    """The nearest multiple of a side, at least one."""
    return max(1, round(side / multiple)) * multiple


def wanted_size(source: Size, width: int, height: int, multiple: int = 1) -> Size:
    """The size that is asked for, a side of 0 taken from the other one and the picture's proportions."""
    across = width or height * source.width / source.height
    down = height or width * source.height / source.width
    return Size(to_multiple(across, multiple), to_multiple(down, multiple))


def scaled_size(source: Size, factor: float, multiple: int = 1) -> Size:
    """A size times a factor, its sides rounded to multiples."""
    return Size(to_multiple(source.width * factor, multiple), to_multiple(source.height * factor, multiple))


def of_pixels(source: Size, pixels: float, multiple: int = 1) -> Size:
    """The size of about so many pixels with a picture's proportions."""
    return scaled_size(source, math.sqrt(pixels / (source.width * source.height)), multiple)


def contained(source: Size, wanted: Size, multiple: int = 1) -> Size:
    """The largest size with a picture's proportions inside of another one, its sides rounded down to multiples.

    With `multiple` 1 it is that of Pillow's `ImageOps.contain`.
    """
    width, height = wanted
    if source.width * height > source.height * width:
        height = round(source.height / source.width * width)
    elif source.width * height < source.height * width:
        width = round(source.width / source.height * height)
    return Size(max(width // multiple, 1) * multiple, max(height // multiple, 1) * multiple)


def filled(source: Size, wanted: Size, anchor: Anchor) -> SourceBox:
    """The largest part of a picture with the proportions of another size, as Pillow's `ImageOps.fit` takes it."""
    across, down = shares(anchor)
    width, height = float(source.width), float(source.height)
    if source.width * wanted.height >= source.height * wanted.width:
        width = wanted.width * source.height / wanted.height
    else:
        height = wanted.height * source.width / wanted.width
    left, top = (source.width - width) * across, (source.height - height) * down
    return SourceBox(left, top, left + width, top + height)


def fitted_size(source: Size, fit: Fit, width: int, height: int, multiple: int) -> Size:
    """The size of a picture that is scaled to another one."""
    wanted = wanted_size(source, width, height, multiple)
    return contained(source, wanted, multiple) if fit == "inside" else wanted


class Crop(NamedTuple):
    """Where a part of a picture begins, and its size, in whole pixels."""

    left: int
    top: int
    width: int
    height: int

    @property
    def size(self) -> Size:
        """Its size alone."""
        return Size(self.width, self.height)


def cropped(source: Size, width: int, height: int, left: int | None, top: int | None, multiple: int = 1) -> Crop:
    """The part of a picture that is kept; a side of 0 goes as far as it can, a place of None is the middle.

    The result may lie outside of the picture, which the caller refuses.
    """
    across = (width or source.width - (left or 0)) // multiple * multiple
    down = (height or source.height - (top or 0)) // multiple * multiple
    x = (source.width - across) // 2 if left is None else left
    y = (source.height - down) // 2 if top is None else top
    return Crop(x, y, across, down)


def with_aspect(source: Size, across: int, down: int, anchor: Anchor, multiple: int = 1) -> Crop:
    """The largest part of a picture with these proportions, its sides rounded down to multiples."""
    unit = min(source.width / across, source.height / down)
    width = max(int(unit * across + 1e-6) // multiple, 1) * multiple
    height = max(int(unit * down + 1e-6) // multiple, 1) * multiple
    x, y = shares(anchor)
    return Crop(round((source.width - width) * x), round((source.height - height) * y), width, height)


def rotated_size(source: Size, angle: float) -> Size:
    """The size that holds a whole picture after a rotation, as Pillow computes it."""
    width, height = source
    quarters = angle % 360 / 90
    if quarters.is_integer():
        return source if quarters % 2 == 0 else Size(height, width)
    radians = -math.radians(angle % 360.0)
    cosine, sine = round(math.cos(radians), 15), round(math.sin(radians), 15)
    left = cosine * -width / 2 + sine * -height / 2 + width / 2
    top = -sine * -width / 2 + cosine * -height / 2 + height / 2
    xs = [cosine * x + sine * y + left for x, y in ((0, 0), (width, 0), (width, height), (0, height))]
    ys = [-sine * x + cosine * y + top for x, y in ((0, 0), (width, 0), (width, height), (0, height))]
    return Size(math.ceil(max(xs)) - math.floor(min(xs)), math.ceil(max(ys)) - math.floor(min(ys)))
