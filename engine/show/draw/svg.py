"""Shapes as SVG text, with no library."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape

from weft.engine.show.draw.placement import Layout, Point, Swing
from weft.engine.show.draw.shapes import CARD, PAPER, RADIUS, SOCKET, Dot, Rectangle, Shape, Text, Thread, shapes

FONT = "Inter, 'Helvetica Neue', Helvetica, Arial, 'DejaVu Sans', sans-serif"


def to_svg(layout: Layout) -> bytes:
    """The picture as SVG, UTF-8."""
    width, height = f"{layout.width:.0f}", f"{layout.height:.0f}"
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="{FONT}" dominant-baseline="central">',
        f"<title>{_escaped(layout.sketch.title)}</title>",
        f'<rect width="100%" height="100%" fill="{PAPER}"/>',
        *map(_element, shapes(layout)),
        "</svg>",
    ]
    return "\n".join(lines).encode() + b"\n"


def _element(shape: Shape) -> str:
    match shape:
        case Rectangle():
            return _rectangle(shape)
        case Thread(swings, colour):
            path = "".join(_path(swings[0][0], swings))
            return f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="2" stroke-opacity="0.8"/>'
        case Dot((x, y), colour):
            return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{SOCKET}" fill="{CARD}" stroke="{colour}" stroke-width="2"/>'
        case Text():
            return _text(shape)


def _rectangle(one: Rectangle) -> str:
    place = f'x="{one.x:.1f}" y="{one.y:.1f}" width="{one.width:.1f}" height="{one.height:.1f}" rx="{RADIUS:.0f}"'
    if one.all_round:
        return f'<rect {place} fill="{one.fill}" stroke="{one.edge}"/>'
    across, down = one.width - 2 * RADIUS, one.height - RADIUS
    arc = f"a{RADIUS} {RADIUS} 0 0 1"
    path = f"M{one.x:.1f} {one.y + one.height:.1f}v{-down:.1f}{arc} {RADIUS} {-RADIUS}h{across:.1f}"
    return f'<path d="{path}{arc} {RADIUS} {RADIUS}v{down:.1f}z" fill="{one.fill}" stroke="{one.edge}"/>'


def _path(start: Point, swings: tuple[Swing, ...]) -> Iterator[str]:
    yield f"M{_point(start)}"
    for number, (begin, *controls) in enumerate(swings):
        if number:
            yield f"L{_point(begin)}"
        yield f"C{' '.join(map(_point, controls))}"


def _point(point: Point) -> str:
    return f"{point[0]:.1f} {point[1]:.1f}"


def _text(one: Text) -> str:
    style = (' font-weight="600"' if one.bold else "") + (' text-anchor="end"' if one.flush_right else "")
    place = f'x="{one.x:.1f}" y="{one.y:.1f}" font-size="{one.size}" fill="{one.colour}"'
    return f"<text {place}{style}>{_escaped(one.text)}</text>"


def _escaped(text: str) -> str:
    """Text as XML holds it; characters that XML has no place for become spaces."""
    return escape(re.sub(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", " ", text))
