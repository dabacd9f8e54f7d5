"""A layout as shapes with colours, in the order in which they are drawn: what the writers of SVG and PNG write."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from weft.engine.show.draw.placement import (
    HEAD,
    HEADLINE_SIZE,
    INSET,
    MARGIN,
    ROW_SIZE,
    TITLE_SIZE,
    TYPE_SIZE,
    Frame,
    Layout,
    Point,
    Swing,
    fitted,
)

PAPER, CARD, EDGE, INK, FAINT, SHADOW = "#f6f7f9", "#ffffff", "#d3d9e0", "#1f2733", "#76818f", "#e3e7ec"
"""The ground, a box, its edge, text, text that names, and what lies under a box."""

ON_HEAD = "#eef1f5"
"""Of a type's name on its coloured head."""

PLAIN = "#6b7480"
"""Of boxes whose type or category is not known."""

HUES = ("#3d6fb6", "#b4652d", "#3f8f5f", "#8a56ac", "#a8803a", "#2f8a94", "#b24a6b", "#5b64c0", "#6f8d2f", "#a8503f")
"""Of categories; dark enough for white text."""

RADIUS, SOCKET = 8.0, 4.5
"""Of a frame's corners and of a socket."""


@dataclass(frozen=True)
class Rectangle:
    """A rectangle with round corners: all, or the upper ones."""

    x: float
    y: float
    width: float
    height: float
    fill: str
    edge: str
    all_round: bool = True


@dataclass(frozen=True)
class Thread:
    """A wire: cubic Bezier curves, one after the other, joined by straight lines."""

    swings: tuple[Swing, ...]
    colour: str


@dataclass(frozen=True)
class Dot:
    """A socket."""

    centre: Point
    colour: str


@dataclass(frozen=True)
class Text:
    """One line of text; `y` is its middle, `x` its start, or its end where it is `flush_right`."""

    text: str
    x: float
    y: float
    size: float
    colour: str
    bold: bool = False
    flush_right: bool = False


Shape = Rectangle | Thread | Dot | Text


def shapes(layout: Layout) -> Iterator[Shape]:
    """What to draw, from the ground up; the paper itself is the writer's."""
    colours = by_category(layout.sketch.categories)
    if layout.sketch.title:
        yield Text(layout.sketch.title, MARGIN, MARGIN + HEADLINE_SIZE / 2, HEADLINE_SIZE, INK, bold=True)
    for curve in layout.curves:
        yield Thread(tuple(curve.swings()), colours.get(curve.category, PLAIN))
    for frame in layout.frames:
        yield from _frame(frame, colours.get(frame.box.category, PLAIN))


def by_category(categories: Sequence[str]) -> Mapping[str, str]:
    """The colour of each category, in turn."""
    return {name: HUES[number % len(HUES)] for number, name in enumerate(filter(None, categories))}


def _frame(frame: Frame, colour: str) -> Iterator[Shape]:
    yield Rectangle(frame.x, frame.y + 2, frame.width, frame.height, SHADOW, SHADOW)
    yield Rectangle(frame.x, frame.y, frame.width, frame.height, CARD, EDGE)
    yield Rectangle(frame.x, frame.y, frame.width, HEAD, colour, colour, all_round=frame.height == HEAD)
    left, right, room = frame.x + INSET, frame.x + frame.width - INSET, frame.width - 2 * INSET
    yield Text(fitted(frame.box.title, room, TITLE_SIZE), left, frame.y + 16, TITLE_SIZE, CARD, bold=True)
    yield Text(fitted(frame.box.type or "output", room, TYPE_SIZE), left, frame.y + 33, TYPE_SIZE, ON_HEAD)
    for name, (x, y), is_input in frame.sockets():
        yield Dot((x, y), colour)
        if frame.box.type:
            yield Text(name, left if is_input else right, y, ROW_SIZE, FAINT, flush_right=not is_input)
    for name, value, y in frame.literals():
        yield Text(name, left, y, ROW_SIZE, FAINT)
        yield Text(value, right, y, ROW_SIZE, INK, flush_right=True)
