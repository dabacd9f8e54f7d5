"""Noise of a run: drawn on the CPU in float32, one generator an item.

So an item's noise depends neither on its batch nor on the device. Imports torch: only the bodies of nodes import this
module.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from weft.engine import InputError

ROUNDING = 1e-6
"""torchsde rounds levels to multiples of this."""


def generators_for(seeds: Sequence[int]) -> list[torch.Generator]:
    """A CPU generator for each seed, modulo 2^64."""
    return [torch.Generator("cpu").manual_seed(seed % 2**64) for seed in seeds]


def draw_noise(
    generators: Sequence[torch.Generator], shape: Sequence[int], device: str, rows: int = 1, by_frame: bool = False
) -> Tensor:
    """Noise of unit variance `[batch, *shape]`, float32: the next of each item's generator, in the order of the items.

    Args:
        shape: of one item.
        rows: that each generator draws at once: the batch, where one generator draws for all items.
        by_frame: whether all channels of a frame of a clip are drawn before those of the next one.
    """
    turned = by_frame and len(shape) == 4
    drawn = (shape[1], shape[0], *shape[2:]) if turned else shape
    items = [torch.randn((rows, *drawn), generator=generator, dtype=torch.float32) for generator in generators]
    noise = torch.cat(items).to(device)
    return noise.transpose(1, 2).contiguous() if turned else noise


def brownian_noise(
    shape: Sequence[int], seeds: Sequence[int], least: float, most: float
) -> Callable[[float, float], Tensor]:
    """Increments of Brownian motion over sigma, of unit variance: one path an item, the same whatever the steps.

    Args:
        shape: of one item.
        seeds: one an item.
        least: the lowest level, above 0.
        most: the highest level.

    Raises:
        InputError: where torchsde is not installed.
    """
    try:
        from torchsde import BrownianInterval
    except ModuleNotFoundError as missing:
        raise InputError(
            "the sampler needs the package torchsde", "pip install 'weft-engine[sde]'", "missing-package"
        ) from missing

    def path(seed: int) -> Any:
        return BrownianInterval(
            t0=least - ROUNDING,
            t1=most + ROUNDING,
            size=tuple(shape),
            dtype=torch.float32,
            entropy=seed,
            tol=ROUNDING,
            pool_size=24,
            halfway_tree=True,
        )

    paths = [path(seed) for seed in seeds]

    def increment(sigma: float, target: float) -> Tensor:
        whole = torch.stack([one(min(sigma, target), max(sigma, target)) for one in paths])
        # torchsde knows increments upwards only; the one downwards is its negative.
        return math.copysign(1, target - sigma) * whole / math.sqrt(abs(target - sigma))

    return increment
