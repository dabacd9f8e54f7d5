"""The time of a part against its floor."""

from __future__ import annotations

import torch

from weft.engine.part_times import NodeTime, multiplication_rate


def test_a_part_with_products_has_a_floor_and_a_step() -> None:
    part = NodeTime("sampler", "KSampler", 2.0, 20, operations=10**9, floor=0.5)
    assert (part.step, part.over_floor) == (0.1, 4.0)
    assert part.plain()["over_floor"] == 4.0


def test_a_part_that_multiplies_next_to_nothing_has_none() -> None:
    part = NodeTime("save", "SaveImage", 0.1)
    assert part.step is part.over_floor is None


def test_the_rate_is_that_of_products() -> None:
    assert multiplication_rate("cpu", torch.float32, rounds=1) > 1e9
