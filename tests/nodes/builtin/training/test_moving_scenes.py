"""Clips of landscapes: things move and the ground stays, and the measure of it sees both."""

from __future__ import annotations

import numpy as np
import pytest

from weft.nodes.builtin.training.dataset import draw_scenes
from weft.nodes.builtin.training.motion_measures import Frames, draw_measured_scenes, movement_in, time_in
from weft.nodes.builtin.training.moving_scenes import FRAMES, SUN, TRAVEL, draw_moving_scenes, render_clip, shifts_at
from weft.nodes.builtin.training.render import STILL, render
from weft.nodes.builtin.training.scene import Scene

MEASURED = draw_measured_scenes(4, 99)


def some_of(scene: Scene) -> Frames:
    """Four of the frames of a clip, the first and the last among them."""
    return np.stack([render(scene, shifts_at(scene, frame)).pixels for frame in range(0, FRAMES, 5)])


@pytest.mark.parametrize("scene", draw_scenes(3, 5))
def test_a_clip_of_an_odd_length_has_the_scene_itself_in_its_middle(scene: Scene) -> None:
    assert shifts_at(scene, 1, 3) == STILL
    assert (render_clip(scene, 3)[1] == render(scene).pixels).all()


@pytest.mark.parametrize("scene", [scene for scene, _ in MEASURED])
def test_sun_clouds_and_boat_go_as_far_as_they_are_drawn(scene: Scene) -> None:
    found = movement_in(some_of(scene), scene.time)
    assert found.sun is not None and found.boat is not None
    assert np.abs(np.subtract(found.sun, SUN[scene.time])).max() <= 3
    assert abs(found.clouds - TRAVEL["clouds"]) <= 2 and abs(found.boat - TRAVEL["boat"]) <= 2
    assert all(found.moves.values())


@pytest.mark.parametrize("scene", [scene for scene, _ in MEASURED])
def test_still_frames_and_a_slid_picture_fail_the_measure(scene: Scene) -> None:
    frame = render(scene).pixels
    still = movement_in(np.stack([frame] * 4), scene.time).moves
    assert still == {"sun": False, "clouds": False, "boat": False, "shore": True}
    slid = movement_in(np.stack([np.roll(frame, 5 * step, axis=1) for step in range(4)]), scene.time)
    assert not slid.moves["shore"]


def test_the_sky_tells_the_time_of_day() -> None:
    scenes = draw_scenes(40, 6)
    assert [time_in(render(scene).pixels) for scene in scenes] == [scene.time for scene in scenes]


def test_many_moving_scenes_have_a_boat_and_clouds() -> None:
    scenes = draw_moving_scenes(200, 1)
    assert scenes[:3] == draw_moving_scenes(3, 1)
    assert sum(scene.subject == "boat" for scene in scenes) > 100
    assert sum(scene.weather == "clouds" for scene in scenes) > 120
