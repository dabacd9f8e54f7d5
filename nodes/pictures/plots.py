"""Curves as pictures: points over axes with ticks at round numbers. Importing this module imports no Pillow."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

WIDTH, HEIGHT = 512, 320
"""Of a plot, in pixels."""

LEFT, TOP, RIGHT, BOTTOM = 52, 16, 20, 40
"""Its margins, in pixels: room for the numbers of the ticks and the name of each axis."""

TICKS = 5
"""About how many ticks an axis has."""


class PlotAxis(NamedTuple):
    """The numbers of an axis.

    Args:
        name: what it shows.
        least: where it begins.
        most: where it ends.
    """

    name: str
    least: float
    most: float

    def share(self, number: float) -> float:
        """How far along the axis a number lies, 0 to 1."""
        return (number - self.least) / ((self.most - self.least) or 1.0)

    def ticks(self) -> Iterator[float]:
        """Round numbers along the axis: multiples of 1, 2 or 5 times a power of ten."""
        span = (self.most - self.least) or 1.0
        power = 10.0 ** math.floor(math.log10(span / TICKS))
        step = next(factor * power for factor in (1, 2, 5, 10) if span / (factor * power) <= TICKS + 1)
        first, last = math.ceil(self.least / step - 1e-9), math.floor(self.most / step + 1e-9)
        yield from (number * step for number in range(first, last + 1))


def curve(points: Sequence[tuple[float, float]], across: PlotAxis, up: PlotAxis, marked: bool = False) -> Tensor:
    """A curve through points, drawn over two axes: the pixels of a picture `[1, height, width, 3]` in 0..1.

    Args:
        marked: whether each point has a dot.
    """
    import numpy
    import PIL.Image
    import PIL.ImageDraw
    import PIL.ImageFont
    import torch

    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    picture = PIL.Image.new("RGB", (WIDTH, HEIGHT), "white")
    draw, font = PIL.ImageDraw.Draw(picture), PIL.ImageFont.load_default(11)

    def place(x: float, y: float) -> tuple[float, float]:
        return LEFT + across.share(x) * (right - LEFT), bottom - up.share(y) * (bottom - TOP)

    for number in across.ticks():
        x, _ = place(number, up.least)
        draw.line([(x, TOP), (x, bottom + 4)], fill="gainsboro")
        draw.text((x, bottom + 6), f"{number:.4g}", "black", font, anchor="mt")
    for number in up.ticks():
        _, y = place(across.least, number)
        draw.line([(LEFT - 4, y), (right, y)], fill="gainsboro")
        draw.text((LEFT - 7, y), f"{number:.4g}", "black", font, anchor="rm")
    draw.line([(LEFT, TOP), (LEFT, bottom), (right, bottom)], fill="grey")
    draw.text(((LEFT + right) / 2, HEIGHT - 4), across.name, "black", font, anchor="mb")
    draw.text((LEFT + 4, 2), up.name, "black", font, anchor="lt")
    placed = [place(x, y) for x, y in points]
    draw.line(placed, fill="steelblue", width=2)
    for x, y in placed if marked else ():
        draw.ellipse([x - 2, y - 2, x + 2, y + 2], fill="steelblue")
    return torch.from_numpy(numpy.asarray(picture).astype("float32") / 255)[None]
