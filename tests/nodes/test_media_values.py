"""Clips and sound check themselves."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.refusals import refused
from weft.engine import Limits
from weft.nodes import Audio, Video

BYTES = torch.zeros((2, 4, 6, 3), dtype=torch.uint8)


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (Video(BYTES.float(), 8.0), "wrong-tensor"),
        (Video(BYTES[..., :2], 8.0), "wrong-tensor"),
        (Video(BYTES[:0], 8.0), "wrong-tensor"),
        (Video(BYTES, 0.0), "out-of-range"),
        (Audio(torch.zeros(4), 8), "wrong-tensor"),
        (Audio(torch.full((1, 4), torch.nan), 8), "not-finite"),
        (Audio(torch.zeros(1, 4), 0), "out-of-range"),
    ],
)
def test_what_no_node_can_use_is_refused(value: Any, code: str) -> None:
    with refused(code):
        value.check_value()


def test_a_clip_is_held_to_the_pixels_of_all_its_frames() -> None:
    video = Video(BYTES, 4.0)
    video.check_value()
    video.check_limits(Limits(max_pixels=48))
    with refused("too-many-pixels", 48):
        video.check_limits(Limits(max_pixels=47))
    assert video.seconds == 0.5 and video.images().pixels.shape == (2, 4, 6, 3)
