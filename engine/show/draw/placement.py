"""Where everything of a picture is: frames of boxes, the sockets on their sides, curves between these. In pixels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate, pairwise

from weft.engine.show.draw.layers import Layers, LineSegment, ranks
from weft.engine.show.draw.sketch import Box, Sketch, Wire

HEAD, ROW, PAD = 44.0, 20.0, 8.0
"""Heights inside a frame: of its head, of a row, and below the last one."""

INSET, GUTTER = 14.0, 18.0
"""Inside a frame: from its side to text, and between two texts of a row."""

GAP, MARGIN = 68.0, 32.0
"""Between layers, and around everything."""

BELOW = 14.0
"""From a box to the wires that run back below it."""

HEADLINE_SIZE, TITLE_SIZE, ROW_SIZE, TYPE_SIZE = 22.0, 14.5, 12.5, 11.5
"""Sizes of letters: the graph's title, a box's title, a row, a box's type."""

LEAST_WIDTH, MOST_WIDTH = 110.0, 280.0
"""Of a frame."""

LETTER = 0.55
"""The mean width of a letter of a sans-serif font, by its size."""

Point = tuple[float, float]

Swing = tuple[Point, Point, Point, Point]
"""A cubic Bezier curve: where it starts, two control points, where it ends."""

Pins = Mapping[Wire, tuple[tuple[str, int], ...]]
"""The pins of each wire, with their layers."""


@dataclass(frozen=True)
class Frame:
    """A box in its place."""

    box: Box
    x: float
    y: float
    width: float

    @property
    def height(self) -> float:
        """Of the head and the rows."""
        return height_of(self.box)

    def sockets(self) -> Iterator[tuple[str, Point, bool]]:
        """The name, the place and the side (whether it is an input) of each socket."""
        for name in self.box.inputs:
            yield name, (self.x, self.y + _input_at(self.box, name)), True
        for name in self.box.outputs:
            yield name, (self.x + self.width, self.y + _output_at(self.box, name)), False

    def literals(self) -> Iterator[tuple[str, str, float]]:
        """The name, the value, cut to fit, and the middle of the row of each literal."""
        first = max(len(self.box.inputs), len(self.box.outputs))
        for number, (name, value) in enumerate(self.box.literals):
            room = self.width - 2 * INSET - GUTTER - text_width(name, ROW_SIZE)
            yield name, fitted(value, room, ROW_SIZE), self.y + _row(first + number)


@dataclass(frozen=True)
class Curve:
    """A wire: points between which it alternately swings across a gap and runs straight through a layer."""

    points: tuple[Point, ...]
    category: str

    def swings(self) -> Iterator[Swing]:
        """The cubic Bezier curves across gaps; one that ends below or above its start turns back."""
        heading = 1
        for start, end in zip(self.points[::2], self.points[1::2], strict=True):
            reach = max(abs(end[0] - start[0]), GAP) / 2
            onward = -heading if start[0] == end[0] else heading
            yield start, (start[0] + heading * reach, start[1]), (end[0] - onward * reach, end[1]), end
            heading = onward


@dataclass(frozen=True)
class Layout:
    """A picture before it is drawn; `width` and `height` with the margins."""

    sketch: Sketch
    width: float
    height: float
    frames: tuple[Frame, ...]
    curves: tuple[Curve, ...]


def text_width(text: str, size: float) -> float:
    """About how wide a text is; wide scripts count double."""
    return sum(1.0 if ord(letter) < 0x1100 else 1.9 for letter in text) * size * LETTER


def fitted(text: str, room: float, size: float) -> str:
    """The text, cut to a width."""
    if text_width(text, size) <= room + 0.01:  # a text that its frame was made for just fits
        return text
    widths = accumulate(text_width(letter, size) for letter in text)
    kept = sum(width <= room - text_width("...", size) for width in widths)
    return f"{text[:kept].rstrip()}..."


def height_of(box: Box) -> float:
    """The height of a box's frame."""
    rows = max(len(box.inputs), len(box.outputs)) + len(box.literals)
    return HEAD + (rows * ROW + PAD + 4 if rows and box.type else 0)


def _row(number: int) -> float:
    """The middle of a row, from the frame's top."""
    return HEAD + 4 + (number + 0.5) * ROW


def _input_at(box: Box, name: str) -> float:
    return _row(box.inputs.index(name)) if box.type else HEAD / 2


def _output_at(box: Box, name: str) -> float:
    return _row(box.outputs.index(name))


def _width(box: Box) -> float:
    """The width that a box's texts ask for."""
    texts = [text_width(box.title, TITLE_SIZE), text_width(box.type, TYPE_SIZE)]
    names = max(len(box.inputs), len(box.outputs))
    inputs = (*box.inputs, *[""] * (names - len(box.inputs)))
    outputs = (*box.outputs, *[""] * (names - len(box.outputs)))
    for left, right in (*zip(inputs, outputs, strict=True), *box.literals):
        texts.append(text_width(left, ROW_SIZE) + GUTTER + text_width(right, ROW_SIZE))
    return min(max(*texts, LEAST_WIDTH - 2 * INSET) + 2 * INSET, MOST_WIDTH)


def place(sketch: Sketch) -> Layout:
    """Place the boxes of a graph in layers from left to right, and the curves of its wires."""
    layer = ranks(sketch.boxes, ((wire.source, wire.target) for wire in sketch.wires))
    pins = {wire: tuple(_pins(wire, layer)) for wire in sketch.wires}
    heights = {key: height_of(box) for key, box in sketch.boxes.items()}
    heights |= {pin: 0.0 for row in pins.values() for pin, _ in row}
    pinned = {pin: rank for row in pins.values() for pin, rank in row}
    head = MARGIN + _head_height(sketch)
    tops = Layers(heights, layer | pinned, _segments(sketch, layer, pins)).tops()
    y = {key: head + top for key, top in tops.items()}
    columns = _columns(sketch, layer)
    frames = {
        key: Frame(box, columns[layer[key]][0], y[key], columns[layer[key]][1]) for key, box in sketch.boxes.items()
    }
    curves = tuple(_curve(wire, frames, [(y[pin], columns[rank]) for pin, rank in pins[wire]]) for wire in sketch.wires)
    right = max((sum(column) for column in columns), default=MARGIN)
    bottom = max((*(frame.y + frame.height for frame in frames.values()), *_heights(curves)), default=head)
    width = max(right, MARGIN + text_width(sketch.title, HEADLINE_SIZE)) + MARGIN
    return Layout(sketch, width, bottom + MARGIN, tuple(frames.values()), curves)


def _pins(wire: Wire, layer: Mapping[str, int]) -> Iterator[tuple[str, int]]:
    """The pins of a wire, which all wires from its output share, and their layers."""
    for rank in range(layer[wire.source] + 1, layer[wire.target]):
        yield f"{wire.source}.{wire.output}@{rank}", rank


def _segments(sketch: Sketch, layer: Mapping[str, int], pins: Pins) -> list[LineSegment]:
    """Every piece of wire between neighbouring layers, once; a wire that closes a circle has none."""
    found: dict[LineSegment, None] = {}
    for wire, row in pins.items():
        if layer[wire.source] >= layer[wire.target]:
            continue
        ends = [
            (wire.source, _output_at(sketch.boxes[wire.source], wire.output)),
            *((pin, 0.0) for pin, _ in row),
            (wire.target, _input_at(sketch.boxes[wire.target], wire.input)),
        ]
        found |= {LineSegment(*left, *right): None for left, right in pairwise(ends)}
    return list(found)


def _columns(sketch: Sketch, layer: Mapping[str, int]) -> list[tuple[float, float]]:
    """The left edge and the width of each layer; boxes of a layer are all as wide as the widest."""
    widths = [LEAST_WIDTH] * (max(layer.values(), default=-1) + 1)
    for key, box in sketch.boxes.items():
        widths[layer[key]] = max(widths[layer[key]], _width(box))
    edges = accumulate((width + GAP for width in widths), initial=MARGIN)
    return list(zip(edges, widths, strict=False))


def _curve(wire: Wire, frames: Mapping[str, Frame], passed: list[tuple[float, tuple[float, float]]]) -> Curve:
    """The curve of a wire, straight through each layer that it passes: its height there, the layer's edge and width."""
    source, target = frames[wire.source], frames[wire.target]
    straight = [point for y, (x, width) in passed for point in ((x, y), (x + width, y))]
    if target.x <= source.x:  # it closes a circle: back below both boxes
        below = max(source.y + source.height, target.y + target.height) + BELOW
        straight = [(source.x + source.width, below), (target.x, below)]
    start = (source.x + source.width, source.y + _output_at(source.box, wire.output))
    end = (target.x, target.y + _input_at(target.box, wire.input))
    return Curve((start, *straight, end), source.box.category)


def _heights(curves: Iterable[Curve]) -> Iterator[float]:
    return (y for curve in curves for _, y in curve.points)


def _head_height(sketch: Sketch) -> float:
    return 2 * HEADLINE_SIZE if sketch.title else 0.0
