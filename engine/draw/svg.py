"""A layout as SVG text, with no library."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape

from weft.engine.draw.colours import CARD, EDGE, FAINT, INK, PAPER, PLAIN, SHADOW, by_category
from weft.engine.draw.layout import (
    HEAD,
    HEADLINE_SIZE,
    INSET,
    MARGIN,
    ROW_SIZE,
    TITLE_SIZE,
    TYPE_SIZE,
    Curve,
    Frame,
    Layout,
    fitted,
)

FONT = "Inter, 'Helvetica Neue', Helvetica, Arial, 'DejaVu Sans', sans-serif"


def to_svg(layout: Layout) -> bytes:
    """The picture as SVG, UTF-8."""
    colours = by_category(layout.sketch.categories)
    width, height = f"{layout.width:.0f}", f"{layout.height:.0f}"
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
        f' font-family="{FONT}" font-size="{ROW_SIZE}">',
        f'<rect width="100%" height="100%" fill="{PAPER}"/>',
        *_headline(layout),
        *(_curve(one, colours) for one in layout.curves),
        *(line for frame in layout.frames for line in _frame(frame, colours.get(frame.box.category, PLAIN))),
        "</svg>",
    ]
    return "\n".join(lines).encode() + b"\n"


def _headline(layout: Layout) -> Iterator[str]:
    if layout.sketch.title:
        yield f"<title>{escape(layout.sketch.title)}</title>"
        yield _text(layout.sketch.title, MARGIN, MARGIN + HEADLINE_SIZE / 2, INK, size=HEADLINE_SIZE, weight=600)


def _curve(curve: Curve, colours: Mapping[str, str]) -> str:
    (x, y), *_ = curve.points
    path = f"M{x:.1f} {y:.1f}"
    for start, *controls in curve.swings():
        path += f"L{start[0]:.1f} {start[1]:.1f}C" + " ".join(f"{x:.1f} {y:.1f}" for x, y in controls)
    colour = colours.get(curve.category, PLAIN)
    return f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="2" stroke-opacity="0.75"/>'


def _frame(frame: Frame, colour: str) -> Iterator[str]:
    x, y, width, height = frame.x, frame.y, frame.width, frame.height
    yield _rectangle(x, y + 2, width, height, SHADOW)
    yield _rectangle(x, y, width, height, CARD)
    bend = 8 if height > HEAD else 0
    yield (
        f'<path d="M{x:.1f} {y + HEAD:.1f}v{8 - HEAD:.1f}a8 8 0 0 1 8 -8h{width - 16:.1f}a8 8 0 0 1 8 8v{HEAD - 8:.1f}z"'
        f' fill="{colour}"/>'
        if bend
        else _rectangle(x, y, width, height, colour)
    )
    yield f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="8" fill="none" stroke="{EDGE}"/>'
    yield from _texts(frame)
    for _, (socket_x, socket_y), _ in frame.sockets():
        yield f'<circle cx="{socket_x:.1f}" cy="{socket_y:.1f}" r="4.5" fill="{CARD}" stroke="{colour}" stroke-width="2"/>'
