"""A run by a diffusers scheduler.

A diffusers scheduler keeps its history on itself, so it is made for one run and thrown away after it. Latents stay
float32 here whatever the model's precision.

Imports torch: only the bodies of nodes import this module. Read next: `weft.nodes.sampling.guided_denoiser`.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

import diffusers
import torch
from torch import Tensor

from weft.engine import InputError
from weft.nodes.models.parametrisation import Parametrisation, SchedulerConfig
from weft.nodes.models.silence_libraries import quietly
from weft.nodes.sampling.noise import draw_noise
from weft.nodes.sampling.samplers import SCHEDULES, SamplerName, ScheduleName, samplers_that_take_sigmas
from weft.nodes.sampling.sampling_run import Position, Predict, StepCallback
from weft.nodes.sampling.scheduling import scheduler_for


class SchedulerRun:
    """A run by a diffusers scheduler.

    Args:
        scheduler: freshly made; used for this run only.
        parametrisation: of the model.
        steps: the number of steps of a whole run.
        start_step: steps at the beginning that are left out, or that another run has walked.
        end_step: the step before which the walk ends; None walks to the last.
        generators: one CPU generator an item; noise for the start and for the steps comes from them, in this order.
        eta: DDIM's share of fresh noise, 0 to 1; for samplers that take it.
        timing: what a model's timesteps depend on besides their number, as arguments of `set_timesteps`.

    Raises:
        InputError: where the scheduler cannot make so many steps, or does not take the model's timing.
    """

    def __init__(
        self,
        scheduler: Any,
        parametrisation: Parametrisation,
        *,
        steps: int,
        start_step: int = 0,
        end_step: int | None = None,
        generators: Sequence[torch.Generator],
        eta: float = 0.0,
        timing: Mapping[str, Any] = MappingProxyType({}),
        device: str = "cpu",
    ) -> None:
        self.scheduler = scheduler
        self.parametrisation = parametrisation
        self.generators = list(generators)
        self.device = device
        _set_timesteps(scheduler, parametrisation, steps, device, timing)
        # Schedulers of second order list most timesteps twice: a step is `order` of them.
        self.skipped = start_step * scheduler.order
        end = end_step * scheduler.order if end_step is not None and end_step < steps else None
        self.timesteps: Tensor = scheduler.timesteps[self.skipped : end]
        # Without it, a scheduler looks for its first timestep by value, and a schedule may have one twice.
        if hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(self.skipped)
        taken = inspect.signature(scheduler.step).parameters
        options = {"generator": self.generators, "eta": eta}
        self.step_options = {name: option for name, option in options.items() if name in taken}

    def from_noise(self, shape: Sequence[int]) -> Tensor:
        """Latents of pure noise `[batch, *shape]`, scaled for the first timestep."""
        noise = draw_noise(self.generators, shape, self.device)
        return noise * float(getattr(self.scheduler, "init_noise_sigma", 1.0))

    def from_latents(self, latents: Tensor) -> Tensor:
        """`latents` with the noise of the first timestep that is walked; unchanged where no step is."""
        if len(self.timesteps) == 0:
            return latents
        first = self.timesteps[:1].repeat(len(latents))
        noise = draw_noise(self.generators, latents.shape[1:], self.device)
        # FlowMatchEulerDiscreteScheduler and its kind take the arguments in another order than `add_noise`.
        if hasattr(self.scheduler, "scale_noise"):
            flowing: Tensor = self.scheduler.scale_noise(latents, first, noise)
            return flowing
        noisy: Tensor = self.scheduler.add_noise(latents, noise, first)
        return noisy

    def sample(self, predict: Predict, latents: Tensor, on_step: StepCallback, *, keep_noise: bool = True) -> Tensor:
        """Walk latents down the timesteps; `on_step` counts steps, of which some samplers take two predictions.

        Args:
            keep_noise: whether the noise that is left after the last timestep stays; else the last prediction takes it
                out.
        """
        count, order = len(self.timesteps), self.scheduler.order
        for index, timestep in enumerate(self.timesteps):
            seen = self._model_input(latents, timestep)
            prediction = predict(seen, timestep, Position(index, count))
            latents = self.scheduler.step(prediction, timestep, latents, **self.step_options, return_dict=False)[0]
            denoised = partial(self.denoised, prediction, timestep, seen)
            on_step(index // order + 1, -(-count // order), denoised)
            if index + 1 == count and not keep_noise:
                latents = denoised()
        return latents

    def denoised(self, prediction: Tensor, timestep: Tensor, seen: Tensor) -> Tensor:
        """The latents without the noise that a prediction finds in what the network has seen."""
        model = self.parametrisation
        return model.denoised(prediction, seen, model.sigma(float(timestep)))

    def _model_input(self, latents: Tensor, timestep: Tensor) -> Tensor:
        """The latents scaled for the network; a flow's schedulers do not scale them."""
        if not hasattr(self.scheduler, "scale_model_input"):
            return latents
        scaled: Tensor = self.scheduler.scale_model_input(latents, timestep)
        return scaled


def make_scheduler(config: SchedulerConfig, sampler: SamplerName, schedule: ScheduleName) -> Any:
    """A fresh diffusers scheduler for a sampler and a schedule over a checkpoint's scheduler configuration.

    Raises:
        InputError: where the sampler cannot follow the checkpoint's model.
    """
    name, options = scheduler_for(config, sampler, schedule)
    scheduler_class = getattr(diffusers, name)
    with quietly():
        return scheduler_class.from_config(dict(config), **options, **SCHEDULES[schedule])


def _set_timesteps(
    scheduler: Any, parametrisation: Parametrisation, steps: int, device: str, timing: Mapping[str, Any]
) -> None:
    """Space a scheduler's timesteps by a model's timing."""
    name = type(scheduler).__name__
    # A solver with flow sigmas spaces its levels as the model does, and most of these classes take none.
    own = scheduler.config.get("use_flow_sigmas")
    given = {key: value for key, value in timing.items() if key != "sigmas" or not own}
    unknown = given.keys() - inspect.signature(scheduler.set_timesteps).parameters.keys()
    if unknown:
        raise InputError(
            f"{name} cannot space its steps by this model's {', '.join(sorted(unknown))}",
            f"choose one of: {', '.join(samplers_that_take_sigmas(parametrisation.kind))}",
            "sampler-cannot-follow",
        )
    try:
        with quietly():
            scheduler.set_timesteps(steps, device=device, **given)
    except ValueError as refusal:
        raise InputError(
            f"{name} cannot make {steps} steps of this model's schedule", "ask for fewer", "too-many-steps"
        ) from refusal
