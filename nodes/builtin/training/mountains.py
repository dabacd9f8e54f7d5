"""Mountain ranges: sharp snowy peaks, rounded green hills, banded red mesas, each far range paler than the near one."""

from collections.abc import Callable

import numpy as np

from .coverage import SIZE, Array, Layer, X, Y, below, mix, smooth, waves
from .palette import Light, rgb

__all__ = ["MOUNTAIN", "mountains"]

MOUNTAIN = 3
"""The label of mountains in a label map."""


def mountains(kind: str, horizon: float, light: Light, generator: np.random.Generator) -> list[Layer]:
    """Two ranges of the given kind standing on y = `horizon`, or nothing for "none"."""
    if kind == "none":
        return []
    draw = _KINDS[kind]
    far = draw(horizon, 0.62, generator)
    near = draw(horizon, 1.0, generator)
    return [_hazed(far, light, 0.45, horizon), _hazed(near, light, 0.08, horizon)]


def _hazed(surface: tuple[Array, Array, Array], light: Light, haze: float, horizon: float) -> Layer:
    """A layer out of (heights, colour, how lit each pixel is), sunk in haze that thickens towards its foot."""
    heights, colour, lit = surface
    shaded = colour * mix(light.shade, light.lit, lit[..., None])
    depth = haze + 0.25 * smooth(Y, horizon - 22, horizon)
    return Layer(below(heights) * (horizon + 0.5 > Y), mix(shaded, light.horizon, depth[..., None] * 0.9), MOUNTAIN)


def _snowy(horizon: float, scale: float, generator: np.random.Generator) -> tuple[Array, Array, Array]:
    centres, tops = _peaks(horizon, 48 * scale, 3, generator)
    slopes = generator.uniform(0.95, 1.3, len(centres))
    cones = tops[:, None] + slopes[:, None] * np.abs(X[0] - centres[:, None])
    heights = (cones.min(axis=0) + waves(generator, 1.2, 22, 2)).astype(np.float32)
    nearest = cones.argmin(axis=0)
    depth = Y - tops[nearest]
    lit = _facets(X - centres[nearest], depth, generator)
    zigzag = 3.5 * np.abs(((X + 0.35 * depth) / 9) % 2 - 1)
    snow = smooth(depth + zigzag, 27 * scale, 24 * scale)
    return heights, mix(rgb("6d7688"), rgb("ffffff"), snow[..., None]), lit


def _facets(across: Array, depth: Array, generator: np.random.Generator) -> Array:
    """How lit a flank is, `across` pixels from the summit's line: bright left of a crest that wanders downwards."""
    crest = 3.0 * np.sin(depth / 5.0 + generator.uniform(0, 6)) * np.clip(depth / 14, 0, 1)
    return 0.12 + 0.88 * smooth(across + crest - 0.15 * depth, 0.8, -0.8)


def _green(horizon: float, scale: float, generator: np.random.Generator) -> tuple[Array, Array, Array]:
    centres, tops = _peaks(horizon, 32 * scale, 3, generator)
    widths = generator.uniform(20, 28, len(centres))
    bumps = (horizon - tops)[:, None] * np.exp(-(((X[0] - centres[:, None]) / widths[:, None]) ** 2))
    heights = (horizon - 2 - np.sqrt((bumps**2).sum(axis=0)) + waves(generator, 0.6, 30, 2)).astype(np.float32)
    slope = np.gradient(heights)[None, :]
    lit = np.clip(0.62 - 0.55 * slope - (Y - heights) / 60, 0.05, 1).astype(np.float32)
    return heights, np.broadcast_to(rgb("5d9e46"), (SIZE, SIZE, 3)), lit


def _red(horizon: float, scale: float, generator: np.random.Generator) -> tuple[Array, Array, Array]:
    centres, tops = _peaks(horizon, 42 * scale, 3, generator)
    halves = generator.uniform(9, 15, len(centres))
    away = np.abs(X[0] - centres[:, None]) - halves[:, None]
    mesas = np.where(away < 0, tops[:, None], tops[:, None] + np.minimum(3.2 * away, 14 + 0.6 * away))
    heights = (mesas.min(axis=0) + waves(generator, 0.4, 20, 2)).astype(np.float32)
    nearest = mesas.argmin(axis=0)
    bands = smooth(np.sin((Y - tops[nearest]) * (2 * np.pi / 9)), -0.4, 0.4)
    lit = 0.2 + 0.8 * smooth(X - centres[nearest] - 0.3 * halves[nearest] - 0.2 * (Y - tops[nearest]), 1.0, -1.0)
    return heights, mix(rgb("b8452c"), rgb("dd7044"), bands[..., None]), lit


def _peaks(horizon: float, height: float, count: int, generator: np.random.Generator) -> tuple[Array, Array]:
    """x and y of `count` summits, about evenly spread, the tallest `height` pixels above the horizon."""
    step = SIZE / count
    centres = (np.arange(count) + generator.uniform(0.15, 0.85, count)) * step
    tops = horizon - height * generator.uniform(0.62, 1.0, count)
    return centres.astype(np.float32), tops.astype(np.float32)


_KINDS: dict[str, Callable[[float, float, np.random.Generator], tuple[Array, Array, Array]]] = {
    "snowy": _snowy,
    "green": _green,
    "red": _red,
}
