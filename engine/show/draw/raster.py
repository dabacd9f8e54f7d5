"""Shapes as PNG, with Pillow and the font that it brings; drawn large and reduced, so that edges are smooth."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

from weft.engine.show.draw.placement import Layout, Point, Swing
from weft.engine.show.draw.shapes import CARD, PAPER, RADIUS, SOCKET, Dot, Rectangle, Shape, Text, Thread, shapes

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

SCALE = 2.0
"""Pixels of the PNG for each of the layout."""

OVER = 2
"""How much larger shapes are drawn, across and down."""

MOST_PIXELS = 80_000_000
"""Of the large drawing; a greater one is drawn at a smaller scale."""

PIECES = 32
"""Straight pieces of a curve."""


def to_png(layout: Layout) -> bytes:
    """The picture as PNG."""
    import PIL.Image
    import PIL.ImageDraw

    scale = min(SCALE, (MOST_PIXELS / (layout.width * layout.height)) ** 0.5 / OVER)
    size = (max(1, round(layout.width * scale)), max(1, round(layout.height * scale)))
    large = PIL.Image.new("RGB", (size[0] * OVER, size[1] * OVER), PAPER)
    drawn = list(shapes(layout))
    pen = PIL.ImageDraw.Draw(large)
    for shape in drawn:
        _draw(pen, shape, scale * OVER)
    picture = large.reduce(OVER)
    pen = PIL.ImageDraw.Draw(picture)
    for shape in drawn:
        if isinstance(shape, Text):
            _write(pen, shape, scale)
    packed = BytesIO()
    picture.save(packed, "PNG", optimize=True)
    return packed.getvalue()


def _draw(pen: ImageDraw, shape: Shape, scale: float) -> None:
    """Draw a shape that is no text."""
    match shape:
        case Rectangle(x, y, width, height, fill, edge, all_round):
            box = (x * scale, y * scale, (x + width) * scale, (y + height) * scale)
            corners = (True, True, all_round, all_round)
            pen.rounded_rectangle(box, RADIUS * scale, fill, edge, round(scale), corners=corners)
        case Thread(swings, colour):
            pen.line([(x * scale, y * scale) for x, y in _points(swings)], colour, round(2 * scale), joint="curve")
        case Dot((x, y), colour):
            pen.circle((x * scale, y * scale), (SOCKET + 1) * scale, CARD, colour, round(2 * scale))


def _points(swings: tuple[Swing, ...]) -> list[Point]:
    return [_on_curve(swing, piece / PIECES) for swing in swings for piece in range(PIECES + 1)]


def _on_curve(swing: Swing, t: float) -> Point:
    """The point of a cubic Bezier curve at t in 0..1."""
    shares = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3)
    return (
        sum(share * point[0] for share, point in zip(shares, swing, strict=True)),
        sum(share * point[1] for share, point in zip(shares, swing, strict=True)),
    )


def _write(pen: ImageDraw, one: Text, scale: float) -> None:
    from PIL import ImageFont

    font = ImageFont.load_default(one.size * scale)
    anchor = "rm" if one.flush_right else "lm"
    stroke = 0.25 * scale if one.bold else 0
    pen.text((one.x * scale, one.y * scale), one.text, one.colour, font, anchor, stroke_width=stroke)
