"""Pictures next to each other as one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from tests.refusals import refused
from weft.nodes import Image, JoinImages

RED, BLUE = torch.tensor([1.0, 0, 0]), torch.tensor([0, 0, 1.0])


def plain(colour: torch.Tensor, width: int, height: int, count: int = 1) -> Image:
    return Image(colour.expand(count, height, width, 3).clone())


@pytest.mark.parametrize("direction", ["right", "left", "down", "up"])
def test_the_second_lies_in_its_direction_scaled_to_the_first(call: Callable[..., Any], direction: str) -> None:
    pictures = [plain(RED, 8, 8), plain(BLUE, 4, 4)]
    made = call(JoinImages, images=pictures, direction=direction, spacing=2, colour="#00ff00").pixels
    assert made.shape == ((1, 8, 18, 3) if direction in ("left", "right") else (1, 18, 8, 3))
    row = made[0, 4] if direction in ("left", "right") else made[0, :, 4]
    first, last = (row[:8], row[10:]) if direction in ("right", "down") else (row[10:], row[:8])
    assert torch.allclose(first, RED) and torch.allclose(last, BLUE, atol=1e-5)
    assert torch.equal(row[8:10], torch.tensor([[0, 1.0, 0]] * 2))


def test_without_matching_sizes_stay_and_batches_are_joined_one_by_one(call: Callable[..., Any]) -> None:
    made = call(JoinImages, images=[plain(RED, 8, 8), plain(BLUE, 4, 4, 3)], match=False).pixels
    assert made.shape == (3, 8, 12, 3) and torch.equal(made[2, 2:6, 8:], BLUE.expand(4, 4, 3))
    assert torch.equal(made[:, :2, 8:], torch.ones(3, 2, 4, 3))


def test_batches_of_several_sizes_are_refused(call: Callable[..., Any]) -> None:
    with refused("batch-mismatch"):
        call(JoinImages, images=[plain(RED, 8, 8, 2), plain(BLUE, 8, 8, 3)])
