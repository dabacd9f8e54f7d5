"""What a landscape is made of: a Scene is one choice for each factor, and a seed for everything else.

`render.py` draws a scene, `captions.py` words it, `evaluate.py` asks whether a picture shows it.
"""

from dataclasses import dataclass

import numpy as np

__all__ = ["FACTORS", "WATER", "Scene", "draw_scene"]

FACTORS: dict[str, tuple[str, ...]] = {
    "time": ("sunrise", "day", "sunset", "night"),
    "mountains": ("none", "green", "snowy", "red"),
    "ground": ("lake", "meadow", "desert", "sea"),
    "subject": ("none", "tree", "house", "boat"),
    "place": ("left", "centre", "right"),
    "weather": ("clear", "clouds"),
}
WATER = ("lake", "sea")


@dataclass(frozen=True)
class Scene:
    """One choice for each of FACTORS; `place` is where the subject stands, `seed` draws every shape and position."""

    time: str
    mountains: str
    ground: str
    subject: str
    place: str
    weather: str
    seed: int

    def __post_init__(self) -> None:
        for factor, choices in FACTORS.items():
            if (value := getattr(self, factor)) not in choices:
                raise ValueError(f"Scene.{factor} is {value!r}; choose one of {', '.join(choices)}")
        if self.subject == "boat" and self.ground not in WATER:
            raise ValueError(f"Scene.subject is 'boat' on ground {self.ground!r}; boats need {' or '.join(WATER)}")


def draw_scene(generator: np.random.Generator) -> Scene:
    """A scene with every factor uniform, except that a boat draws its ground from WATER."""
    choice = {factor: str(generator.choice(choices)) for factor, choices in FACTORS.items()}
    if choice["subject"] == "boat":
        choice["ground"] = str(generator.choice(WATER))
    return Scene(**choice, seed=int(generator.integers(2**31)))
