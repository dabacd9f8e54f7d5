"""What lies below the horizon: a meadow, dunes, a lake that mirrors what stands above it, or the sea and its beach."""

from collections.abc import Callable

import numpy as np

from .coverage import SIZE, Array, Layer, X, Y, below, mix, smooth, waves
from .palette import Light, rgb

__all__ = ["LAND", "WATERS", "ground"]

LAND = 4
WATERS = 5
"""The labels of land and of water in a label map."""


def ground(
    kind: str, above: Array, horizon: float, sun: float, light: Light, generator: np.random.Generator
) -> list[Layer]:
    """The ground's layers from y = `horizon` down; `above` is the picture so far (for mirrors), `sun` the sun's x."""
    return _KINDS[kind](above, horizon, sun, light, generator)


def _meadow(above: Array, horizon: float, sun: float, light: Light, generator: np.random.Generator) -> list[Layer]:
    rolls = zip((0.0, 11.0, 30.0), (0.4, 2.5, 3.5), ("7fae55", "68a048", "548a3c"), strict=True)
    return [_roll(horizon + drop, amplitude, rgb(code), light, generator) for drop, amplitude, code in rolls]


def _roll(top: float, amplitude: float, colour: Array, light: Light, generator: np.random.Generator) -> Layer:
    """A gentle hill: brightest along its crest, darker towards its foot."""
    heights = (top + waves(generator, amplitude, 150, 2)).astype(np.float32)
    lit = smooth(Y - heights, 26, 0)
    return Layer(below(heights), colour * mix(light.shade, light.lit, lit[..., None]), LAND)


def _desert(above: Array, horizon: float, sun: float, light: Light, generator: np.random.Generator) -> list[Layer]:
    dunes = zip((0.0, 10.0, 28.0), (0.4, 4.0, 6.0), ("e8c58a", "e6b874", "dca65c"), strict=True)
    return [_dune(horizon + drop, amplitude, rgb(code), light, generator) for drop, amplitude, code in dunes]


def _dune(top: float, amplitude: float, colour: Array, light: Light, generator: np.random.Generator) -> Layer:
    """A dune with a sharp crest line that runs down from its summit and parts its lit flank from its shaded one."""
    centre = generator.uniform(20, SIZE - 20)
    away = np.abs(X[0] - centre)
    heights = (top + amplitude * (1 - 2.2 * np.exp(-away / 30)) + waves(generator, 0.1 * amplitude, 80, 1)).astype(
        np.float32
    )
    depth = Y - heights
    crest = centre + 0.9 * depth + 5 * np.sin(depth / 7)
    lit = 0.25 + 0.75 * smooth(X - crest, 1.0, -1.0) if amplitude > 1 else np.ones_like(depth)
    lit = lit * smooth(depth, 70, 0)
    return Layer(below(heights), colour * mix(light.shade, light.lit, lit[..., None]), LAND)


def _lake(above: Array, horizon: float, sun: float, light: Light, generator: np.random.Generator) -> list[Layer]:
    rows = np.clip(2 * horizon - 1 - np.arange(SIZE), 0, SIZE - 1).astype(int)
    mirrored = above[rows]
    depth = smooth(Y, horizon, SIZE)
    ripples = 0.035 * np.sin((Y - horizon) * 0.9) * smooth(Y, horizon + 4, horizon + 30)
    water = mix(mirrored, rgb("2a6a8c") * light.lit, (0.18 + 0.35 * depth)[..., None]) * 0.94 + ripples[..., None]
    shore = mix(rgb("4f7a3a") * light.shade, light.horizon, 0.2)
    bank = _bank(rgb("5c8f40"), light, generator)
    return [
        Layer(smooth(Y, horizon - 0.5, horizon + 0.5), np.clip(water, 0, 1).astype(np.float32), WATERS),
        Layer(smooth(np.abs(Y - horizon - 0.5), 2.0, 1.0), shore, LAND),
        *bank,
    ]


def _sea(above: Array, horizon: float, sun: float, light: Light, generator: np.random.Generator) -> list[Layer]:
    depth = (Y - horizon) / (SIZE - horizon)
    swell = np.sin(36 * np.sqrt(np.clip(depth, 0, 1)) + 0.5 * np.sin(X / 17 + generator.uniform(0, 6)))
    deep = mix(rgb("3f9fb8"), rgb("125a94"), smooth(depth, 0.75, 0.0)[..., None]) * light.lit
    water = mix(deep, light.horizon, (0.10 + 0.10 * smooth(swell, 0.2, 0.9))[..., None])
    glitter = smooth(np.abs(X - sun), 4 + 16 * depth, 2 + 6 * depth) * smooth(swell, -0.2, 0.8)
    sand = (SIZE - 19 + waves(generator, 2.0, 120, 2)).astype(np.float32)
    return [
        Layer(smooth(Y, horizon - 0.5, horizon + 0.5), water, WATERS),
        Layer(glitter * (horizon < Y) * 0.55, light.sun, WATERS),
        Layer(below(sand - 3), rgb("f4fbff") * mix(light.shade, light.lit, 0.8), WATERS),
        _strip(sand, rgb("ecd6a0"), light),
    ]


def _bank(colour: Array, light: Light, generator: np.random.Generator) -> list[Layer]:
    """The near shore: a dark rim at the water's edge, then grass."""
    heights = (SIZE - 21 + waves(generator, 2.5, 110, 2)).astype(np.float32)
    return [Layer(below(heights - 1.5), colour * light.shade * 0.7, LAND), _strip(heights, colour, light)]


def _strip(heights: Array, colour: Array, light: Light) -> Layer:
    lit = smooth(Y - heights, 24, -4)
    return Layer(below(heights), colour * mix(light.shade, light.lit, lit[..., None]), LAND)


_KINDS: dict[str, Callable[[Array, float, float, Light, np.random.Generator], list[Layer]]] = {
    "lake": _lake,
    "meadow": _meadow,
    "desert": _desert,
    "sea": _sea,
}
