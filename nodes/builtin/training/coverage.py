"""Anti-aliased coverage of simple shapes on the 128 x 128 canvas, and layers of colour composed over one another.

A coverage is float32 `[height, width]` in 0..1: how much of each pixel lies inside the shape. x runs right, y runs
down, both in pixels.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = [
    "SIZE",
    "Array",
    "Layer",
    "X",
    "Y",
    "below",
    "compose",
    "disc",
    "ellipse",
    "mix",
    "polygon",
    "smooth",
    "waves",
]

Array = npt.NDArray[np.float32]

SIZE = 128
X, Y = (grid.astype(np.float32) + 0.5 for grid in np.meshgrid(np.arange(SIZE), np.arange(SIZE)))


@dataclass(frozen=True)
class Layer:
    """Colour (float32 `[3]` or `[height, width, 3]` in 0..1) where `coverage` says, and the label it leaves there."""

    coverage: Array
    colour: Array
    label: int


def compose(
    pixels: Array, labels: npt.NDArray[np.uint8], layers: Iterable[Layer]
) -> tuple[Array, npt.NDArray[np.uint8]]:
    """Lay `layers` over a picture and its label map, the last on top; a label needs a coverage of a half."""
    for layer in layers:
        pixels = mix(pixels, layer.colour, layer.coverage[..., None])
        labels = np.where(layer.coverage >= 0.5, np.uint8(layer.label), labels)
    return pixels, labels


def mix(first: Array, second: Array, share: Array | float) -> Array:
    """`first` where `share` is 0, `second` where it is 1, and linearly between."""
    return np.asarray(first + (second - first) * share, np.float32)


def smooth(values: Array, low: Array | float, high: Array | float) -> Array:
    """Hermite step from 0 at `low` to 1 at `high`; a `high` below `low` falls instead of rising."""
    t = np.clip((values - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def below(heights: Array) -> Array:
    """Everything under the curve y = heights[x] (float32 `[width]`), its edge as sharp on slopes as on flats."""
    slope = np.sqrt(1 + np.gradient(heights) ** 2)
    return _inside((Y - heights) / slope)


def polygon(*corners: tuple[float, float]) -> Array:
    """A convex polygon with its corners clockwise as seen (y down)."""
    inside = np.full((SIZE, SIZE), np.inf, np.float32)
    for (x0, y0), (x1, y1) in zip(corners, (*corners[1:], corners[0]), strict=True):
        distance = ((x1 - x0) * (Y - y0) - (y1 - y0) * (X - x0)) / np.hypot(x1 - x0, y1 - y0)
        inside = np.minimum(inside, distance)
    return _inside(inside)


def disc(x: float, y: float, radius: float) -> Array:
    """A disc round (x, y)."""
    return _inside(radius - np.hypot(X - x, Y - y))


def ellipse(x: float, y: float, width: float, height: float) -> Array:
    """An ellipse with soft edges round (x, y) with the given half axes, for shadows and halos."""
    return smooth(np.hypot((X - x) / width, (Y - y) / height), 1.0, 0.3)


def waves(generator: np.random.Generator, amplitude: float, longest: float, octaves: int = 3) -> Array:
    """A smooth random curve over x (float32 `[width]`): sines, each half as long and half as high as the one before."""
    curve = np.zeros(SIZE, np.float32)
    for octave in range(octaves):
        phase = generator.uniform(0, 2 * np.pi)
        curve += amplitude / 2**octave * np.sin(2 * np.pi * X[0] * 2**octave / longest + phase)
    return curve


def _inside(distance: npt.NDArray[np.floating]) -> Array:
    """Coverage out of the signed distance to an edge, in pixels, positive inside."""
    return np.asarray(np.clip(distance + 0.5, 0, 1), np.float32)
