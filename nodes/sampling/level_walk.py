"""What a run over given noise levels goes by: the levels, and how it begins and counts timesteps.

Imports no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class LevelWalk:
    """A run over noise levels.

    Args:
        levels: of noise, `[steps + 1]`.
        unit_start: whether the noise of the first level is scaled to unit variance as the network sees it; None does so
            where nothing but noise is there. It makes no difference over a flow, but for noise alone below level 1.
        nearest_timesteps: whether a level has the nearest timestep of the training, instead of one between two.
    """

    levels: Sequence[float]
    unit_start: bool | None = None
    nearest_timesteps: bool = False
