"""CogVideoX's DPM-Solver as a scheduler that is stepped like all others.

diffusers' class is given the x_0 of the step before and its timestep by the pipeline, and draws noise for latents whose
frames come before their channels. Imports torch and diffusers: only the bodies of nodes import this module.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor


class FrameFirstSteps:
    """A CogVideoXDPMScheduler that remembers the x_0 of the step before.

    Args:
        scheduler: of diffusers.
    """

    def __init__(self, scheduler: Any) -> None:
        self.scheduler = scheduler
        self.before: tuple[Any, Any] = (None, None)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.scheduler, name)

    def step(
        self, model_output: Tensor, timestep: Tensor, sample: Tensor, generator: Any = None, return_dict: bool = True
    ) -> tuple[Tensor]:
        """The latents after a step `[batch, channel, frame, height, width]`, as diffusers' pipeline takes it."""
        clean, earlier = self.before
        given, latents = (one.movedim(2, 1) for one in (model_output, sample))
        after, clean = self.scheduler.step(given, clean, timestep, earlier, latents, generator=generator)
        self.before = (clean, timestep)
        return (after.movedim(1, 2),)
