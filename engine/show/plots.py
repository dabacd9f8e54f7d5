"""Curves as pictures: points over axes with ticks at round numbers. Importing this module imports no Pillow."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

WIDTH, HEIGHT = 512, 320
"""Of a plot, in pixels."""

LEFT, TOP, RIGHT, BOTTOM = 52, 16, 20, 40
"""Its margins, in pixels: room for the numbers of the ticks and the name of each axis."""

COLOURS = ("steelblue", "darkorange", "seagreen", "crimson", "mediumpurple", "sienna", "deeppink", "grey")
"""Of curves, in their order; more of them begin again."""

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


class PlotLine(NamedTuple):
    """A line through points.

    Args:
        points: x and y of each.
        name: stands in the legend, which a plot of a single curve has not.
    """

    points: Sequence[tuple[float, float]]
    name: str = ""


class PlotMark(NamedTuple):
    """A point with a name: a dashed line leads to it from the axis below.

    Args:
        x: where it lies.
        y: how high it lies.
        name: stands next to it.
    """

    x: float
    y: float
    name: str


def around(name: str, numbers: Sequence[float]) -> PlotAxis:
    """The axis of some numbers, with a little room at both ends."""
    least, most = min(numbers), max(numbers)
    room = 0.04 * (most - least) or 0.5 * abs(most) or 0.5
    return PlotAxis(name, least - room, most + room)


def plot(
    curves: Sequence[PlotLine],
    across: PlotAxis,
    up: PlotAxis,
    marked: bool = False,
    marks: Sequence[PlotMark] = (),
) -> Picture:
    """Curves over two axes, as a picture in RGB.

    Args:
        marked: whether each point has a dot.
        marks: points with names.
    """
    import PIL.Image
    import PIL.ImageDraw
    import PIL.ImageFont

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
    upper = [up.share(y) > 0.5 for curve in curves for x, y in curve.points if across.share(x) > 0.5]
    low = sum(upper) > len(upper) / 2  # the legend stands where fewer points are
    first = bottom - 4 - 13 * len(curves) if low else TOP + 2
    for number, curve in enumerate(curves):
        colour = COLOURS[number % len(COLOURS)]
        placed = [place(x, y) for x, y in curve.points]
        draw.line(placed, fill=colour, width=2)
        for x, y in placed if marked else ():
            draw.ellipse([x - 2, y - 2, x + 2, y + 2], fill=colour)
        if len(curves) > 1:
            draw.text((right - 4, first + 13 * number), curve.name, colour, font, anchor="rt")
    for mark in marks:
        x, y = place(mark.x, mark.y)
        for top in range(int(y), bottom, 6):
            draw.line([(x, top), (x, min(top + 3, bottom))], fill="crimson")
        draw.ellipse([x - 3, y - 3, x + 3, y + 3], fill="crimson")
        falls = any(curve.points and curve.points[0][1] > curve.points[-1][1] for curve in curves)
        # The name stands where the curve is not, if there is room.
        left = not falls or x + 6 + font.getlength(mark.name) > right
        spot, anchor = (x - 6 if left else x + 6, max(y - 6, TOP + 12)), "rb" if left else "lb"
        draw.rectangle(draw.textbbox(spot, mark.name, font, anchor), fill="white")
        draw.text(spot, mark.name, "crimson", font, anchor)
    return picture
