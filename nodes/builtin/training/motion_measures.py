"""How far sun, clouds and boat go in a clip of a landscape by the sea, how still the shore is, and what time it shows.

Everything is found by the colours that `palette.py` paints with.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from .captions import full_caption
from .coverage import Array
from .dataset import draw_scenes
from .palette import LIGHTS
from .scene import Scene

__all__ = ["LEAST", "Movement", "draw_measured_scenes", "movement_in", "time_in"]

Frames = npt.NDArray[np.uint8]
Place = tuple[float, float]
"""In pixels, across and down."""

LEAST = 4.0
"""Pixels that something has to go in a clip to count as moving."""

_SKY, _SHORE, _HULL = slice(0, 66), slice(115, 128), slice(80, 104)
_CLOUDS = slice(6, 50)
_FARTHEST = 20


@dataclass(frozen=True)
class Movement:
    """How far things go from the first frame of a clip to the last, in pixels; None where they are hardly seen.

    `shore` is the correlation of the shore between these frames; `slid` how much better what varies along its rows fits
    when it is slid to the right.
    """

    sun: tuple[float, float] | None
    clouds: float
    boat: float | None
    shore: float
    slid: float

    @property
    def moves(self) -> dict[str, bool]:
        """Whether each thing goes to the right, by LEAST pixels at least, and the shore stays."""
        return {
            "sun": self.sun is not None and self.sun[0] >= LEAST,
            "clouds": self.clouds >= LEAST,
            "boat": self.boat is not None and self.boat >= LEAST,
            "shore": self.shore > 0.9 and self.slid < 0.1,
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
    pictures = [np.asarray(one, np.float32) for one in frames]
    sun, hull = _path([_middle(_sun(one, time)) for one in pictures]), _path([_middle(_hull(one)) for one in pictures])
    ends = [one[_SHORE].mean(-1) for one in (pictures[0], pictures[-1])]
    return Movement(sun, _way_of_clouds(pictures, time), hull and hull[0], _correlation(*ends), _slid(*ends))


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


def _middle(mask: npt.NDArray[np.bool_]) -> Place | None:
    """The middle of a mask, across and down; None where there is hardly any of it."""
    down, across = np.nonzero(mask)
    return (float(np.median(across)), float(np.median(down))) if len(across) >= 12 else None


def _path(middles: Sequence[Place | None]) -> Place | None:
    """How far something goes in a clip, across and down, where it is seen in half of the frames at least.

    By the median of the slopes between any two frames in which it is seen (Sen 1968), so that a frame in which
    something else is taken for it does not count.
    """
    seen = [(frame, middle) for frame, middle in enumerate(middles) if middle is not None]
    if len(seen) < max(2, len(middles) // 2):
        return None
    slopes = [np.subtract(after, before) / (later - frame) for (frame, before), (later, after) in combinations(seen, 2)]
    across, down = np.median(slopes, axis=0) * (len(middles) - 1)
    return float(across), float(down)


def _way_of_clouds(pictures: Sequence[Array], time: str) -> float:
    """How far clouds go to the right in a clip: the median of what is found over three halves of it."""
    last = len(pictures) - 1
    half = max(1, last // 2)
    starts = sorted({0, (last - half) // 2, last - half})
    return float(np.median([_shift_of_clouds(pictures[at], pictures[at + half], time) for at in starts])) * last / half


def _shift_of_clouds(first: Array, last: Array, time: str) -> float:
    """How far to the right the clouds of a later frame fit those of an earlier one best."""
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


def _slid(first: Array, last: Array) -> float:
    """How much better what varies along rows fits when it is slid to the right than when it is left in its place."""
    before, after = (one - one.mean(1, keepdims=True) for one in (first, last))
    slid = max(_overlap(before, after, shift) for shift in range(int(LEAST), _FARTHEST + 1))
    return slid - _overlap(before, after, 0)


def _correlation(one: Array, other: Array) -> float:
    one, other = one - one.mean(), other - other.mean()
    return float((one * other).sum() / np.sqrt((one**2).sum() * (other**2).sum() + 1e-6))
