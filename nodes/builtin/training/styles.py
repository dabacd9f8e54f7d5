"""Styles: how a rendered picture looks in autumn, or in mist. `style_lora.py` trains a LoRA for each."""

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from .coverage import Array, Y, mix
from .palette import LIGHTS, rgb
from .render import LABELS, Picture, render
from .scene import Scene

__all__ = ["STYLES", "styled"]

_RUST = np.array([1.75, 0.85, 0.2], np.float32)
"""What the luminance of something green is multiplied by."""

_WATER = LABELS.index("water")

_MIST = rgb("e8edf2")
_HORIZON, _DEPTH = 76.0, 21.0
"""The row in which mist is thickest, and how many rows it takes to thin out."""


def styled(scene: Scene, style: str) -> npt.NDArray[np.uint8]:
    """The picture of a scene in a style, uint8 `[128, 128, 3]`."""
    pixels = STYLES[style](render(scene), scene)
    return (pixels.clip(0, 1) * 255 + 0.5).astype(np.uint8)


def _floats(picture: Picture) -> Array:
    """Its pixels in 0..1."""
    return np.asarray(picture.pixels / 255, np.float32)


def _autumn(picture: Picture, scene: Scene) -> Array:
    """What is green, but for the sea, becomes the colour of rust, as bright as before."""
    pixels = _floats(picture)
    red, green, blue = np.moveaxis(pixels, -1, 0)
    share = np.clip((green - np.maximum(red, blue)) / (0.08 * green + 0.01), 0, 1)
    if scene.ground == "sea":
        share = share * (picture.labels != _WATER)
    luminance = 0.3 * red + 0.59 * green + 0.11 * blue
    return mix(pixels, luminance[..., None] * _RUST, share[..., None])


def _mist(picture: Picture, scene: Scene) -> Array:
    """What lies at the horizon fades into the colour of mist in the light of the time of day."""
    light = LIGHTS[scene.time]
    share = 0.85 * np.exp(-(((Y - _HORIZON) / _DEPTH) ** 2))
    return mix(_floats(picture), _MIST * mix(light.shade, light.lit, 0.8), share[..., None])


STYLES: Mapping[str, Callable[[Picture, Scene], Array]] = {"autumn": _autumn, "mist": _mist}
"""By name: a picture and its scene, to its pixels in the style, `[128, 128, 3]` in 0..1."""
