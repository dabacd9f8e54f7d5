"""Renders: deterministic, and they show the scene's factors."""

from dataclasses import replace

import numpy as np
import pytest

from weft.nodes.builtin.training.dataset import draw_scenes
from weft.nodes.builtin.training.render import LABELS, render
from weft.nodes.builtin.training.scene import FACTORS, Scene

SCENE = Scene("day", "snowy", "lake", "house", "left", "clear", seed=7)


@pytest.mark.parametrize("scene", draw_scenes(12, seed=5))
def test_a_scene_is_the_same_bytes_each_time(scene: Scene) -> None:
    first, second = render(scene), render(scene)
    assert first.pixels.shape == (128, 128, 3)
    assert first.labels.max() < len(LABELS)
    assert (first.pixels == second.pixels).all() and (first.labels == second.labels).all()


@pytest.mark.parametrize("subject", ["tree", "house", "boat"])
@pytest.mark.parametrize(
    ("place", "columns"), [("left", slice(0, 48)), ("centre", slice(42, 86)), ("right", slice(80, 128))]
)
def test_a_subject_stands_at_its_place(subject: str, place: str, columns: slice) -> None:
    mask = render(replace(SCENE, subject=subject, place=place)).labels == LABELS.index(subject)
    assert mask.sum() > 300
    assert mask[:, columns].sum() > 0.9 * mask.sum()


def test_night_is_darker_than_day() -> None:
    night = render(replace(SCENE, time="night")).pixels
    assert night.mean() < 0.5 * render(SCENE).pixels.mean()


def test_changing_the_weather_leaves_the_ground_as_it_is() -> None:
    cloudy = render(replace(SCENE, ground="meadow", weather="clouds")).pixels
    assert (cloudy[80:] == render(replace(SCENE, ground="meadow")).pixels[80:]).all()


def test_scenes_cover_every_choice() -> None:
    scenes = draw_scenes(200, seed=0)
    for factor, choices in FACTORS.items():
        assert {getattr(scene, factor) for scene in scenes} == set(choices)


def test_the_first_scenes_do_not_depend_on_the_count() -> None:
    assert draw_scenes(3, seed=1) == draw_scenes(9, seed=1)[:3]


def test_a_boat_needs_water() -> None:
    with pytest.raises(ValueError, match="boat"):
        replace(SCENE, subject="boat", ground="desert")


def test_an_unknown_choice_is_named_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"time.*noon.*sunrise.*day"):
        replace(SCENE, time="noon")


def test_pixels_are_not_empty() -> None:
    assert np.ptp(render(SCENE).pixels) > 150
