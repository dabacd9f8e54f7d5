"""The sampling loop, and the stepper that puts a diffusers scheduler behind it.

One loop (`sample`) serves every sampler, so progress, cancel and preview have one place. What differs between
samplers is the stepper: which timesteps there are, how latents start, and what a step makes of a prediction. A
diffusers scheduler keeps its history on itself; a `SchedulerStepper` is made for one run and thrown away after it.

Latents stay float32 here whatever the model's precision, and noise is drawn on the CPU, one generator an item, so an
item's picture depends neither on its batch nor on the device.

Imports torch: only the bodies of nodes import this module. Read next: `weft.nodes.sampling.guided_denoiser`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, Protocol

import diffusers
import torch
from torch import Tensor

from weft.engine import InputError
from weft.nodes.models.silence_libraries import quietly
from weft.nodes.sampling.samplers import (
    OWN_ONLY,
    SCHEDULES,
    Prediction,
    SamplerName,
    ScheduleName,
    samplers_told_spacing,
)
from weft.nodes.sampling.scheduling import EDM, chosen, is_flow


@dataclass(frozen=True)
class Position:
    """Where a prediction lies in a run: the `index`-th of `count`, counted from 0."""

    index: int
    count: int

    def within(self, start: float, end: float) -> bool:
        """Whether this prediction lies wholly between two fractions of the run."""
        return self.index / self.count >= start and (self.index + 1) / self.count <= end

    def among(self, start: float, end: float) -> bool:
        """Whether this is one of the predictions between two fractions, so counted that ranges may follow each other.

        As diffusers' guiders count: those before `int(start * count)` are before, those from `int(end * count)` after.
        """
        return int(start * self.count) <= self.index < int(end * self.count)


Denoise = Callable[[Tensor, Tensor, Position], Tensor]
"""The model's prediction for scaled latents `[batch, channel, height, width]` at a timestep (a scalar)."""


class Stepper(Protocol):
    """What the loop asks of a sampler."""

    @property
    def timesteps(self) -> Tensor:
        """The timesteps of this run `[count]`, in the order in which the model sees them."""

    @property
    def order(self) -> int:
        """How many predictions make a step."""

    def model_input(self, latents: Tensor, timestep: Tensor) -> Tensor:
        """The latents as the model wants them at a timestep."""

    def step(self, prediction: Tensor, timestep: Tensor, latents: Tensor) -> Tensor:
        """The latents after a prediction."""

    def denoised(self, prediction: Tensor, timestep: Tensor, seen: Tensor) -> Tensor:
        """The latents without the noise that a prediction finds in what the model has `seen`."""


Progress = Callable[[int, int, Callable[[], Tensor]], None]
"""Told `(step, steps, denoised)` after each prediction; `denoised()` is the latents that it leads to, for a preview."""


def sample(
    denoise: Denoise, stepper: Stepper, latents: Tensor, progress: Progress, *, keep_noise: bool = True
) -> Tensor:
    """Walk `latents` down a stepper's timesteps.

    Args:
        progress: told how far the run is; an exception that it raises ends the run.
        keep_noise: whether the noise that is left after the last timestep stays; else the last prediction takes it out.
    """
    count = len(stepper.timesteps)
    for index, timestep in enumerate(stepper.timesteps):
        seen = stepper.model_input(latents, timestep)
        prediction = denoise(seen, timestep, Position(index, count))
        latents = stepper.step(prediction, timestep, latents)
        denoised = partial(stepper.denoised, prediction, timestep, seen)
        progress(index // stepper.order + 1, -(-count // stepper.order), denoised)
        if index + 1 == count and not keep_noise:
            latents = denoised()
    return latents


class SchedulerStepper:
    """A diffusers scheduler as a stepper.

    Args:
        scheduler: freshly made; used for this run only.
        steps: the number of steps of a whole run.
        denoise: the share of the run that is walked, its end: `int(steps * denoise)` steps, as in diffusers'
            image-to-image pipelines.
        start_step: steps at the beginning that another run has walked.
        end_step: the step before which the walk ends; None walks to the last.
        generators: one CPU generator an item; noise for the start and for the steps comes from them, in this order.
        eta: DDIM's share of fresh noise, 0 to 1; for samplers that take it.
        timing: what a model's timesteps depend on beside their number, as arguments of `set_timesteps`.
    """

    def __init__(
        self,
        scheduler: Any,
        *,
        steps: int,
        denoise: float = 1.0,
        start_step: int = 0,
        end_step: int | None = None,
        generators: Sequence[torch.Generator],
        eta: float = 0.0,
        timing: Mapping[str, Any] = MappingProxyType({}),
        device: str = "cpu",
    ) -> None:
        self.scheduler = scheduler
        self.generators = list(generators)
        self.device = device
        _set_timesteps(scheduler, steps, device, timing)
        self.skipped = (steps - min(int(steps * denoise), steps) + start_step) * scheduler.order
        end = end_step * scheduler.order if end_step is not None and end_step < steps else None
        self.timesteps: Tensor = scheduler.timesteps[self.skipped : end]
        if hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(self.skipped)
        taken = inspect.signature(scheduler.step).parameters
        options = {"generator": self.generators, "eta": eta}
        self.step_options = {name: option for name, option in options.items() if name in taken}

    @property
    def order(self) -> int:
        return int(self.scheduler.order)

    def from_noise(self, shape: Sequence[int]) -> Tensor:
        """Latents of pure noise `[batch, *shape]`, scaled for the first timestep."""
        return self._noise(shape) * float(getattr(self.scheduler, "init_noise_sigma", 1.0))

    def from_latents(self, latents: Tensor) -> Tensor:
        """`latents` with the noise of the first timestep that is walked; unchanged where no step is."""
        if len(self.timesteps) == 0:
            return latents
        first = self.timesteps[:1].repeat(len(latents))
        noise = self._noise(latents.shape[1:])
        if hasattr(self.scheduler, "scale_noise"):
            flowing: Tensor = self.scheduler.scale_noise(latents, first, noise)
            return flowing
        noisy: Tensor = self.scheduler.add_noise(latents, noise, first)
        return noisy

    def model_input(self, latents: Tensor, timestep: Tensor) -> Tensor:
        if not hasattr(self.scheduler, "scale_model_input"):
            return latents
        scaled: Tensor = self.scheduler.scale_model_input(latents, timestep)
        return scaled

    def step(self, prediction: Tensor, timestep: Tensor, latents: Tensor) -> Tensor:
        stepped: Tensor = self.scheduler.step(prediction, timestep, latents, **self.step_options, return_dict=False)[0]
        return stepped

    def denoised(self, prediction: Tensor, timestep: Tensor, seen: Tensor) -> Tensor:
        """The x_0 of x = alpha x_0 + sigma epsilon, the x that every scheduler shows the model.

        alpha^2 + sigma^2 = 1 under a noise schedule, where a timestep between two of the training's counts as the
        nearest; alpha + sigma = 1 over a flow. A consistency model predicts x_0 but for what its boundary condition
        takes from x (https://arxiv.org/abs/2303.01469, eq. 5). A network of EDM is told log(sigma) / 4, and x_0 is made
        of x and of what it gives (https://arxiv.org/abs/2206.00364, eq. 7).
        """
        name, config = type(self.scheduler).__name__, self.scheduler.config
        if is_flow(name, config):
            return seen - float(timestep) / float(config.num_train_timesteps) * prediction
        if name in OWN_ONLY:
            sigma = (timestep / 250).exp()
            skip, out = self.scheduler.get_scalings_for_boundary_condition(sigma)
            unscaled: Tensor = seen * (sigma**2 + config.sigma_data**2) ** 0.5
            bounded: Tensor = skip * unscaled + out * prediction
            return bounded
        if name.startswith(EDM):
            sigma = (4 * timestep).exp()
            given = seen * (sigma**2 + config.sigma_data**2) ** 0.5
            conditioned: Tensor = self.scheduler.precondition_outputs(given, prediction, sigma)
            return conditioned
        alpha_squared = self.scheduler.alphas_cumprod[round(float(timestep))]
        alpha, sigma = alpha_squared.sqrt(), (1 - alpha_squared).sqrt()
        kind: Prediction = config.prediction_type
        if kind == "sample":
            return prediction
        found: Tensor = (
            alpha * seen - sigma * prediction if kind == "v_prediction" else (seen - sigma * prediction) / alpha
        )
        return found

    def _noise(self, shape: Sequence[int]) -> Tensor:
        items = [torch.randn((1, *shape), generator=generator) for generator in self.generators]
        return torch.cat(items).to(self.device)


def make_scheduler(config: Mapping[str, Any], sampler: SamplerName, schedule: ScheduleName) -> Any:
    """A fresh diffusers scheduler for a sampler and a schedule over a checkpoint's scheduler configuration.

    Raises:
        InputError: where the sampler does not understand what the checkpoint's model predicts.
    """
    name, options = chosen(config, sampler, schedule)
    scheduler_class = getattr(diffusers, name)
    with quietly():
        return scheduler_class.from_config(dict(config), **options, **SCHEDULES[schedule])


def generators_for(seeds: Sequence[int]) -> list[torch.Generator]:
    """A CPU generator for each seed, modulo 2^64."""
    return [torch.Generator("cpu").manual_seed(seed % 2**64) for seed in seeds]


def _set_timesteps(scheduler: Any, steps: int, device: str, timing: Mapping[str, Any]) -> None:
    """Space a scheduler's timesteps; one that spaces them over a flow by itself is not given any to shift."""
    name = type(scheduler).__name__
    own = scheduler.config.get("use_flow_sigmas")
    given = {key: value for key, value in timing.items() if key != "sigmas" or not own}
    unknown = given.keys() - inspect.signature(scheduler.set_timesteps).parameters.keys()
    if unknown:
        raise InputError(f"{name} cannot space its steps by this model's {', '.join(sorted(unknown))}", _ANOTHER)
    try:
        with quietly():
            scheduler.set_timesteps(steps, device=device, **given)
    except ValueError as refusal:
        raise InputError(f"{name} cannot make {steps} steps of this model's schedule", "ask for fewer") from refusal


_ANOTHER = f"choose one of: {', '.join(samplers_told_spacing())}"
