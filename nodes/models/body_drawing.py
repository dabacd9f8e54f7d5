"""Poses drawn as OpenPose draws them, for ControlNets that follow poses.

Models find the 17 joints of COCO; OpenPose has a neck in addition, in the middle of the shoulders. Its order of joints,
its limbs and its colours are those of https://arxiv.org/abs/1812.08008.
"""

from __future__ import annotations

import colorsys
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import PIL.Image
    from torch import Tensor

LEFT_SHOULDER, RIGHT_SHOULDER = 5, 6

FROM_COCO = (0, None, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3)
"""For each joint of OpenPose that of COCO; None is the neck."""

LIMBS = (
    *((1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10)),
    *((1, 11), (11, 12), (12, 13), (1, 0), (0, 14), (14, 16), (0, 15), (15, 17)),
)
"""The joints at both ends of each limb."""

COLOURS = tuple(
    tuple(round(255 * level) for level in colorsys.hsv_to_rgb(number / 18, 1.0, 1.0)) for number in range(18)
)
"""Of joints; a limb has that of its number, darker."""

LIMB_LIGHT = 0.6


def draw_bodies(size: tuple[int, int], bodies: Iterable[tuple[Tensor, Tensor]], least: float) -> PIL.Image.Image:
    """People on black.

    Args:
        size: width and height.
        bodies: for each person the joints of COCO `[17, 2]`, in pixels across and down, and their scores.
        least: the score of a joint that is drawn.
    """
    import PIL.Image
    import PIL.ImageDraw

    picture = PIL.Image.new("RGB", size)
    draw = PIL.ImageDraw.Draw(picture)
    thick = max(1.0, 4 * min(size) / 512)
    for joints, scores in bodies:
        places = _open_pose(joints.tolist(), scores.tolist(), least)
        for (start, end), colour in zip(LIMBS, COLOURS, strict=False):
            first, last = places[start], places[end]
            if first and last:
                dark = tuple(int(level * LIMB_LIGHT) for level in colour)
                draw.polygon(_ellipse(first, last, thick), fill=dark)
        for place, colour in zip(places, COLOURS, strict=True):
            if place:
                across, down = place
                draw.ellipse((across - thick, down - thick, across + thick, down + thick), fill=colour)
    return picture


Place = tuple[float, float]


def _open_pose(joints: list[list[float]], scores: list[float], least: float) -> list[Place | None]:
    """The place of each joint of OpenPose; None where it was not found."""
    found = [(one[0], one[1]) if score >= least else None for one, score in zip(joints, scores, strict=True)]
    left, right = found[LEFT_SHOULDER], found[RIGHT_SHOULDER]
    neck = ((left[0] + right[0]) / 2, (left[1] + right[1]) / 2) if left and right else None
    return [neck if number is None else found[number] for number in FROM_COCO]


def _ellipse(start: Place, end: Place, thick: float) -> list[Place]:
    """A limb: an ellipse from joint to joint, as a polygon."""
    middle = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)
    along = (end[0] - middle[0], end[1] - middle[1])
    length = math.hypot(*along) or 1.0
    across = (-along[1] / length * thick, along[0] / length * thick)
    turns = [2 * math.pi * number / 24 for number in range(24)]
    return [
        (
            middle[0] + along[0] * math.cos(turn) + across[0] * math.sin(turn),
            middle[1] + along[1] * math.cos(turn) + across[1] * math.sin(turn),
        )
        for turn in turns
    ]
