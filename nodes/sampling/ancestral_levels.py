"""Levels of diffusers' ancestral schedulers where the difference of two squares is lost in float32.

An ancestral step from a level to the next goes down to sqrt(to^2 - up^2), with up^2 = to^2 (from^2 - to^2) / from^2,
and draws noise of deviation up (Song et al., "Score-Based Generative Modeling", 2021, appendix F). That is to^2 / from.
In float32 the difference may come out as zero or below where a step goes far, and its root or logarithm is no number.

Imports torch: only the bodies of nodes import this module.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def keep_finite(scheduler: Any) -> None:
    """Compute the levels exactly where a scheduler with its timesteps set has some that are not numbers."""
    name = type(scheduler).__name__
    if name == "EulerAncestralDiscreteScheduler" and _down(scheduler.sigmas).isnan().any():
        scheduler.sigmas = scheduler.sigmas.double()  # A step computes both parts of it; latents stay float32.
    if name == "KDPM2AncestralDiscreteScheduler" and scheduler.sigmas_interpol.isnan().any():
        _exact_midpoints(scheduler)


def _down(sigmas: Tensor) -> Tensor:
    """The levels that steps go down to, as diffusers computes them."""
    start, end = sigmas[:-1], sigmas[1:]
    up = (end**2 * (start**2 - end**2) / start**2) ** 0.5
    return (end**2 - up**2) ** 0.5


def _exact_midpoints(scheduler: Any) -> None:
    """The levels that steps of DPM2 go down to, those half way there in the logarithm, and their timesteps."""
    # The table has every level but the first one twice, and the last one once more.
    levels = torch.cat([scheduler.sigmas[:1], scheduler.sigmas[1:-1:2]]).double()
    for step in range(len(levels) - 2):
        places = slice(0, 1) if step == 0 else slice(2 * step - 1, 2 * step + 1)
        if not scheduler.sigmas_interpol[places].isnan().any():
            continue
        down = levels[step + 1] ** 2 / levels[step]
        middle = (levels[step] * down).sqrt()
        scheduler.sigmas_down[places] = down.float()
        scheduler.sigmas_interpol[places] = middle.float()
        time = scheduler._sigma_to_t(middle.numpy(), scheduler.log_sigmas.cpu().numpy())
        scheduler.timesteps[2 * step + 1] = float(time)
