"""Words for a scene: a caption names some of its factors in one of four styles and says which it named."""

from dataclasses import dataclass

import numpy as np

from .scene import Scene

__all__ = ["PHRASES", "Caption", "draw_caption", "full_caption"]

PHRASES: dict[str, dict[str, tuple[str, ...]]] = {
    "time": {
        "sunrise": ("at sunrise", "at dawn", "sunrise"),
        "day": ("by day", "in daylight", "day"),
        "sunset": ("at sunset", "at dusk", "sunset"),
        "night": ("at night", "by night", "night"),
    },
    "mountains": {
        "none": ("no mountains", "a flat horizon"),
        "green": ("green hills", "green mountains", "a green mountain"),
        "snowy": ("snowy mountains", "a snowy mountain", "snowy peaks"),
        "red": ("red mountains", "a red mountain", "red rocks"),
    },
    "ground": {
        "lake": ("a lake", "lake", "a calm lake"),
        "meadow": ("a meadow", "meadow", "a green meadow"),
        "desert": ("a desert", "desert", "the desert"),
        "sea": ("the sea", "sea", "a sandy beach by the sea"),
    },
    "subject": {
        "none": ("nothing in front", "an empty landscape", "nobody there"),
        "tree": ("a pine tree", "a tree", "a tall pine tree"),
        "house": ("a red house", "a house", "a small red house"),
        "boat": ("a white sailboat", "a sailboat", "a boat"),
    },
    "place": {
        "left": ("on the left", "to the left"),
        "centre": ("in the centre", "in the middle", "in the center"),
        "right": ("on the right", "to the right"),
    },
    "weather": {
        "clear": ("a clear sky", "clear sky", "no clouds"),
        "clouds": ("clouds", "a cloudy sky", "clouds in the sky"),
    },
}
"""Factor -> choice -> the phrases that mean it, the plainest first."""


@dataclass(frozen=True)
class Caption:
    """A text, and the factors of the scene that it names."""

    text: str
    named: frozenset[str]


def draw_caption(scene: Scene, generator: np.random.Generator, dropped: float = 0.12, empty: float = 0.12) -> Caption:
    """A caption in a random style; each factor is left out with chance `dropped`, all of them with chance `empty`."""
    if generator.random() < empty:
        return Caption("", frozenset())
    factors = [factor for factor in PHRASES if generator.random() >= dropped]
    style = generator.integers(4)
    if style == 3:
        factors = list(generator.choice(tuple(PHRASES), generator.integers(1, 3), replace=False))
    named = _nameable(scene, factors)
    words = {
        factor: str(generator.choice(PHRASES[factor][getattr(scene, factor)])) for factor in PHRASES if factor in named
    }
    return Caption((_sentence, _tags, _picture, _tags)[style](words, generator), named)


def full_caption(scene: Scene, generator: np.random.Generator) -> str:
    """A sentence or a list of tags that names every factor, for prompts in evaluations."""
    words = {factor: str(generator.choice(PHRASES[factor][getattr(scene, factor)])) for factor in PHRASES}
    if scene.subject == "none":
        del words["place"]
    return (_sentence, _tags, _picture)[generator.integers(3)](words, generator)


def _nameable(scene: Scene, factors: list[str]) -> frozenset[str]:
    """The factors that can be named: a place needs a named subject to stand there."""
    named = {str(factor) for factor in factors}
    if scene.subject == "none" or "subject" not in named:
        named -= {"place"}
    return frozenset(named)


def _sentence(words: dict[str, str], generator: np.random.Generator) -> str:
    """As in "a snowy mountain at sunset, a lake in front, a red house on the left, a clear sky"."""
    first = _join(" ", words.get("mountains"), words.get("time"))
    ground = _join(" ", words.get("ground"), "in front") if "ground" in words else None
    return _join(", ", first, ground, _subject(words), words.get("weather"))


def _tags(words: dict[str, str], generator: np.random.Generator) -> str:
    """The phrases in any order, a subject and its place together."""
    tags = [words[factor] for factor in ("time", "mountains", "ground", "weather") if factor in words]
    tags += [_subject(words)] if "subject" in words else []
    return ", ".join(str(tag) for tag in generator.permutation(tags))


def _picture(words: dict[str, str], generator: np.random.Generator) -> str:
    """As in "a picture of a red house on the left and green hills by the sea at night with clouds"."""
    things = _join(" and ", _subject(words), words.get("mountains"))
    place = _join(" ", "by", words["ground"]) if "ground" in words else None
    sky = _join(" ", "with", words["weather"]) if "weather" in words else None
    return _join(" ", "a picture of" if things else "a picture", things, place, words.get("time"), sky)


def _subject(words: dict[str, str]) -> str:
    return _join(" ", words.get("subject"), words.get("place"))


def _join(separator: str, *parts: str | None) -> str:
    return separator.join(part for part in parts if part)
