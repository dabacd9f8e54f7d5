"""How far sun, clouds and boat go in a clip of a landscape by the sea, how still the shore is, and what time it shows.

Everything is found by the colours that `palette.py` paints with, in the first and the last frame.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .captions import full_caption
from .coverage import Array
from .dataset import draw_scenes
from .palette import LIGHTS
from .scene import Scene

__all__ = ["LEAST", "Movement", "draw_measured_scenes", "movement_in", "time_in"]

Frames = npt.NDArray[np.uint8]

LEAST = 4.0
"""Pixels that something has to go in a clip to count as moving."""

_SKY, _SHORE, _HULL = slice(0, 66), slice(115, 128), slice(80, 104)
_CLOUDS = slice(6, 50)
_FARTHEST = 30


@dataclass(frozen=True)
class Movement:
    """What moved from the first frame of a clip to the last, in pixels; None where it is not seen in both.

    `shore` is the correlation of the shore between these frames, of what varies along its rows.
    """

    sun: tuple[float, float] | None
    clouds: float
    boat: float | None
    shore: float

    @property
    def moves(self) -> dict[str, bool]:
        """Whether each thing goes to the right, by LEAST pixels at least, and the shore stays."""
        return {
            "sun": self.sun is not None and self.sun[0] >= LEAST,
            "clouds": self.clouds >= LEAST,
            "boat": self.boat is not None and self.boat >= LEAST,
            "shore": self.shore > 0.9,
        }


def draw_measured_scenes(count: int, seed: int) -> list[tuple[Scene, str]]:
    """Scenes with clouds and a boat on the sea, each time of day as often, and captions that name all of it.

    The boat is where it does not hide the sun.
    """
    numbers = np.random.default_rng([seed, 2])
    scenes = []
    for number, drawn in enumerate(draw_scenes(count, seed)):
        time = tuple(LIGHTS)[number % len(LIGHTS)]
        place = {"sunrise": "right", "sunset": "left"}.get(time, drawn.place)
        low = time in ("sunrise", "sunset")
        mountains = "none" if low else ("none", "green")[number // 4 % 2]
        scene = Scene(time, mountains, "sea", "boat", place, "clouds", drawn.seed)
        scenes.append((scene, full_caption(scene, numbers)))
    return scenes


def movement_in(frames: Frames, time: str) -> Movement:
    """What moves in a clip `[frame, 128, 128, 3]` of a scene at this time of day."""
    first, last = (np.asarray(frames[place], np.float32) for place in (0, -1))
    suns, hulls = ([_middle(mask(one)) for one in (first, last)] for mask in (lambda one: _sun(one, time), _hull))
    sun = None if None in suns else _difference(suns)
    boat = None if None in hulls else _difference(hulls)[0]
    return Movement(sun, _shift_of_clouds(first, last, time), boat, _alike(first, last))


def time_in(frame: npt.NDArray[np.uint8]) -> str:
    """The time of day whose sky a frame has, by its colours in the upper part."""
    rows = {"zenith": slice(0, 4), "middle": slice(38, 46)}

    def off(time: str) -> float:
        light = LIGHTS[time]
        return sum(
            float(np.abs(np.median(frame[part] / 255.0, axis=(0, 1)) - getattr(light, name)).sum())
            for name, part in rows.items()
        )

    return min(LIGHTS, key=off)


def _sun(frame: Array, time: str) -> npt.NDArray[np.bool_]:
    """Where the sun or the moon is: as near to its colour as to no cloud's."""
    sky = frame[_SKY]
    light = LIGHTS[time]
    to_sun, to_cloud = (np.abs(sky - colour * 255).sum(-1) for colour in (light.sun, light.cloud))
    near = to_sun < np.minimum(60, to_cloud)
    return np.asarray(near & (np.abs(sky - light.horizon * 255).sum(-1) > to_sun), np.bool_)


def _hull(frame: Array) -> npt.NDArray[np.bool_]:
    """Where the hull of the boat is: the only red on the sea."""
    red, green, blue = np.moveaxis(frame[_HULL], -1, 0)
    return np.asarray((red > 1.5 * green) & (red > 1.2 * blue) & (red > 50), np.bool_)


def _middle(mask: npt.NDArray[np.bool_]) -> tuple[float, float] | None:
    """The middle of a mask, across and down; None where there is hardly any of it."""
    down, across = np.nonzero(mask)
    return (float(np.median(across)), float(np.median(down))) if len(across) >= 12 else None


def _difference(middles: Sequence[tuple[float, float] | None]) -> tuple[float, float]:
    before, after = (one for one in middles if one is not None)
    return after[0] - before[0], after[1] - before[1]


def _shift_of_clouds(first: Array, last: Array, time: str) -> float:
    """How far to the right the clouds of the last frame fit those of the first best."""
    before, after = (_without_sun(one, time) for one in (first, last))
    shifts = range(-_FARTHEST, _FARTHEST + 1)
    return float(max(shifts, key=lambda shift: _overlap(before, after, shift)))


def _without_sun(frame: Array, time: str) -> Array:
    """What varies along the rows of clouds, in brightness, without the sun and what glows around it."""
    bright = frame.mean(-1)
    bright[_SKY][_sun(frame, time)] = np.nan
    rows = bright[_CLOUDS]
    rows = np.where(np.isnan(rows), np.nanmedian(rows, axis=1, keepdims=True), rows)
    steps = np.diff(rows, axis=1)
    return np.asarray(np.clip(steps, -12, 12), np.float32)


def _overlap(before: Array, after: Array, shift: int) -> float:
    width = before.shape[1] - abs(shift)
    left, right = (before[:, :width], after[:, shift:]) if shift >= 0 else (before[:, -shift:], after[:, :width])
    return _correlation(left, right)


def _alike(first: Array, last: Array) -> float:
    """The correlation of the shore of two frames, of what varies along its rows."""
    before, after = (one[_SHORE].mean(-1) for one in (first, last))
    return _correlation(before - before.mean(1, keepdims=True), after - after.mean(1, keepdims=True))


def _correlation(one: Array, other: Array) -> float:
    return float((one * other).sum() / np.sqrt((one**2).sum() * (other**2).sum() + 1e-6))
