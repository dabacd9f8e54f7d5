"""Align Your Steps: timesteps that were optimised for a family of models (https://arxiv.org/abs/2404.14507).

They are diffusers' `AysSchedules`, of 10 steps. Other numbers of steps are interpolated in the logarithm of the noise
level, as its authors recommend. Importing this module imports no torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from weft.engine import InputError
from weft.nodes.models.parametrisation import Parametrisation, parametrisation_of
from weft.nodes.sampling.samplers import ScheduleName

if TYPE_CHECKING:
    from weft.nodes.models.denoiser import Denoiser
    from weft.nodes.values import Latent


def timing_of(model: Denoiser, steps: int, latent: Latent[Any] | None, schedule: ScheduleName) -> Mapping[str, Any]:
    """What timesteps depend on, as arguments of diffusers' `set_timesteps`: the model's, and those of a schedule.

    Args:
        latent: None where the model's do not depend on the size.

    Raises:
        InputError: where no timesteps were optimised for the model.
    """
    timing = model.timing(steps, latent) if latent else {}
    if schedule != "ays":
        return timing
    check_aligned(schedule, model.aligned_steps, model.family)
    return {**timing, "timesteps": aligned_timesteps(model.aligned_steps, parametrisation_of(model.scheduler), steps)}


def check_aligned(schedule: ScheduleName, name: str, family: str) -> None:
    """Raise `InputError` where a schedule needs timesteps that were optimised for the model, and there are none.

    Args:
        name: of these in `AysSchedules`; empty where there are none.
        family: of the model.
    """
    if schedule == "ays" and not name:
        raise InputError(
            f"the schedule `ays` has no timesteps for models of {family}",
            "choose another schedule; it is made for SD 1 and SDXL",
            "schedule-cannot-follow",
        )


def aligned_timesteps(name: str, parametrisation: Parametrisation, steps: int) -> list[int]:
    """The timesteps, falling.

    Args:
        name: in `AysSchedules`, without what they are: `StableDiffusion`.
    """
    import diffusers

    schedulers: Any = diffusers.schedulers
    published: Sequence[int] = schedulers.AysSchedules[f"{name}Timesteps"]
    if steps == len(published):
        return list(published)
    logarithms = [math.log(parametrisation.sigma(timestep)) for timestep in published]
    places = [step * (len(published) - 1) / max(steps - 1, 1) for step in range(steps)]
    levels = (math.exp(_interpolated(logarithms, place)) for place in places)
    return [round(parametrisation.timestep(level)) for level in levels]


def _interpolated(values: Sequence[float], place: float) -> float:
    """A value between two of a list, by its place in it."""
    below = min(int(place), len(values) - 2)
    return values[below] + (place - below) * (values[below + 1] - values[below])
