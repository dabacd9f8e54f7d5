"""Poses as OpenPose draws them."""

from __future__ import annotations

import numpy
import torch

from weft.nodes.models.body_drawing import COLOURS, FROM_COCO, LIMBS, draw_bodies


def test_each_joint_has_its_colour_and_the_neck_is_between_the_shoulders() -> None:
    joints = torch.tensor([[20.0 + 27 * number, 20.0 + 25 * (number % 5)] for number in range(17)])
    joints[5], joints[6] = torch.tensor([200.0, 300.0]), torch.tensor([300.0, 400.0])
    drawn = numpy.asarray(draw_bodies((512, 512), [(joints, torch.ones(17))], 0.3))
    for number, coco in enumerate(FROM_COCO):
        across, down = (250, 350) if coco is None else joints[coco].int().tolist()
        assert tuple(drawn[down, across]) == COLOURS[number]


def test_what_was_not_found_is_not_drawn() -> None:
    joints, scores = torch.full((17, 2), 50.0), torch.zeros(17)
    assert not numpy.asarray(draw_bodies((64, 64), [(joints, scores)], 0.3)).any()
    scores[6] = 1.0  # one shoulder alone has no neck, and no limb
    joints[6] = torch.tensor([20.0, 30.0])
    colours = {tuple(pixel) for pixel in numpy.asarray(draw_bodies((64, 64), [(joints, scores)], 0.3)).reshape(-1, 3)}
    assert colours == {(0, 0, 0), COLOURS[2]}


def test_limbs_join_joints_that_are_next_to_each_other() -> None:
    assert len(LIMBS) == 17 and {joint for limb in LIMBS for joint in limb} == set(range(18))
    assert sorted(coco for coco in FROM_COCO if coco is not None) == [*range(17)]
