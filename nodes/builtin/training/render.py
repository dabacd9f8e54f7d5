"""Draw a Scene as a 128 x 128 picture with its label map: sky, sun or moon, clouds, mountains, ground, subject.

Everything is analytic and anti-aliased; the scene's seed draws every position, so the same scene is the same bytes.
Read `scene.py` for the factors, `mountains.py`, `ground.py` and `subjects.py` for the parts.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .coverage import SIZE, Array, Layer, X, Y, compose, disc, mix, smooth
from .ground import ground
from .mountains import mountains
from .palette import LIGHTS, Light
from .scene import Scene
from .subjects import subject

__all__ = ["LABELS", "STILL", "Picture", "Shifts", "render"]

LABELS = ("sky", "sun", "cloud", "mountain", "land", "water", "tree", "house", "boat")
"""What the values of a label map mean, by index; "sun" is sun, moon or star."""

_SUN, _CLOUD = 1, 2
_PLACES = {"left": 27.0, "centre": 64.0, "right": 101.0}
_FEET = {"lake": 118.0, "sea": 119.0, "meadow": 112.0, "desert": 113.0}
_WATERLINE = 95.0


@dataclass(frozen=True)
class Shifts:
    """How far things are from where a scene has them, in pixels: the sun (across, down), clouds and boat (across)."""

    sun: tuple[float, float] = (0.0, 0.0)
    clouds: float = 0.0
    boat: float = 0.0


STILL = Shifts()
"""Everything is where the scene has it."""


@dataclass(frozen=True)
class Picture:
    """A rendered scene: `pixels` uint8 `[128, 128, 3]`, `labels` uint8 `[128, 128]` that index LABELS."""

    pixels: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.uint8]


def render(scene: Scene, shifts: Shifts = STILL) -> Picture:
    """Draw `scene`; each part has its own stream of the seed, so changing one factor leaves the rest in place."""
    light = LIGHTS[scene.time]
    skies, clouds, peaks, lands, things = (np.random.default_rng([scene.seed, part]) for part in range(5))
    horizon = float(np.round(skies.uniform(69, 75)))
    sun = float(skies.uniform(*light.side)) + shifts.sun[0]
    labels = np.zeros((SIZE, SIZE), np.uint8)
    heaps = _clouds(light, clouds, shifts.clouds) if scene.weather == "clouds" else []
    layers = [*_lamps(scene.time, sun, shifts.sun[1], light, skies), *heaps]
    above, labels = compose(
        _sky(light, sun, horizon), labels, [*layers, *mountains(scene.mountains, horizon, light, peaks)]
    )
    pixels, labels = compose(above, labels, ground(scene.ground, above, horizon, sun, light, lands))
    pixels, labels = compose(pixels, labels, _subject(scene, shifts, light, things))
    return Picture((pixels.clip(0, 1) * 255 + 0.5).astype(np.uint8), labels)


def _sky(light: Light, sun: float, horizon: float) -> Array:
    """Zenith to horizon, with a glow where the sun is."""
    t = (Y / horizon)[..., None]
    sky = mix(mix(light.zenith, light.middle, np.clip(t / 0.62, 0, 1)), light.horizon, smooth(t, 0.45, 1.0))
    away = np.hypot(X - sun, Y - np.mean(light.height))
    return mix(sky, light.sun, 0.5 * np.exp(-away / (1.8 * light.radius))[..., None])


def _lamps(time: str, sun: float, lower: float, light: Light, generator: np.random.Generator) -> list[Layer]:
    """The sun, or the moon as a crescent among stars; `lower` is how far it is below its height."""
    height = float(generator.uniform(*light.height)) + lower
    face = disc(sun, height, light.radius)
    if time != "night":
        return [Layer(face, light.sun, _SUN)]
    dark = disc(sun + 4, height - 2, light.radius * 0.85)
    stars = [Layer(0.9 * disc(x, y, 0.95), light.sun, _SUN) for x, y in generator.uniform((3, 3), (125, 60), (11, 2))]
    return [*stars, Layer(face * (1 - dark), light.sun, _SUN)]


def _clouds(light: Light, generator: np.random.Generator, shift: float) -> list[Layer]:
    """Four flat-bottomed heaps of puffs, one in each quarter of the sky's width, bright above and shaded below."""
    return [
        _cloud(16 + 32 * column + generator.uniform(-6, 6) + shift, generator.uniform(14, 42), light, generator)
        for column in range(4)
    ]


def _cloud(x: float, y: float, light: Light, generator: np.random.Generator) -> Layer:
    width = generator.uniform(11, 16)
    puffs = [(-0.62, 0.34), (-0.2, 0.5), (0.25, 0.42), (0.65, 0.3)]
    heap = np.maximum.reduce([disc(x + across * width, y - 0.12 * width, radius * width) for across, radius in puffs])
    coverage = heap * np.clip(y + 0.16 * width - Y, 0, 1)
    colour = light.cloud * mix(light.shade, np.ones(3, np.float32), (0.55 + 0.45 * smooth(Y, y + 2, y - 5))[..., None])
    return Layer((0.94 * coverage).astype(np.float32), colour, _CLOUD)


def _subject(scene: Scene, shifts: Shifts, light: Light, generator: np.random.Generator) -> list[Layer]:
    """The subject at its place, give or take five pixels, its foot on the shore or its hull on the water."""
    x = _PLACES[scene.place] + generator.uniform(-5, 5) + (shifts.boat if scene.subject == "boat" else 0.0)
    foot = _WATERLINE if scene.subject == "boat" else _FEET[scene.ground]
    return subject(scene.subject, x, foot + generator.uniform(-3, 3), generator.uniform(0.92, 1.1), light)
