"""The light of each time of day: colours are linear mixes of sRGB values in 0..1."""

from dataclasses import dataclass

import numpy as np

from .coverage import Array

__all__ = ["LIGHTS", "Light", "rgb"]


@dataclass(frozen=True)
class Light:
    """Sky colours from zenith to horizon, what the light multiplies everything by, and where it comes from.

    `sun` is the colour of the sun or moon, `height` its y and `radius` its size in pixels, `side` the x range it is
    drawn from; `lamp` is how brightly windows glow, 0..1.
    """

    zenith: Array
    middle: Array
    horizon: Array
    lit: Array
    shade: Array
    sun: Array
    cloud: Array
    height: tuple[float, float]
    radius: float
    side: tuple[float, float]
    lamp: float


def rgb(code: str) -> Array:
    """The colour of a six-digit hexadecimal code, float32 `[3]` in 0..1."""
    return (np.frombuffer(bytes.fromhex(code), np.uint8) / 255).astype(np.float32)


LIGHTS = {
    "sunrise": Light(
        zenith=rgb("7fb2dc"), middle=rgb("f6c5c9"), horizon=rgb("fff0b8"), lit=rgb("fff0dc"), shade=rgb("b09fb8"),
        sun=rgb("fffbe0"), cloud=rgb("ffe3dd"), height=(46, 56), radius=8, side=(16, 56), lamp=0.35,
    ),
    "day": Light(
        zenith=rgb("2f7fd6"), middle=rgb("72b5ee"), horizon=rgb("cfeaf8"), lit=rgb("ffffff"), shade=rgb("9aa6bd"),
        sun=rgb("fff8cc"), cloud=rgb("ffffff"), height=(14, 24), radius=8, side=(16, 112), lamp=0.0,
    ),
    "sunset": Light(
        zenith=rgb("43286a"), middle=rgb("d4506a"), horizon=rgb("ffa03c"), lit=rgb("fcb690"), shade=rgb("6c4668"),
        sun=rgb("ffe27a"), cloud=rgb("f0788a"), height=(46, 56), radius=10, side=(72, 112), lamp=0.7,
    ),
    "night": Light(
        zenith=rgb("0a1030"), middle=rgb("17245a"), horizon=rgb("32487e"), lit=rgb("8090c8"), shade=rgb("363f74"),
        sun=rgb("f4f2dc"), cloud=rgb("64769f"), height=(16, 28), radius=7, side=(16, 112), lamp=1.0,
    ),
}  # fmt: skip
