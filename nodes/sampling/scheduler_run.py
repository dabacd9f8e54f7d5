"""A run by a diffusers scheduler.

A diffusers scheduler keeps its history on itself, so it is made for one run and thrown away after it. Latents stay
float32 here whatever the model's precision.

Imports torch: only the bodies of nodes import this module. Read next: `weft.nodes.sampling.guided_denoiser`.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from fractions import Fraction
from functools import partial
from types import MappingProxyType
from typing import Any

import diffusers
import torch
from torch import Tensor

from weft.engine import InputError
from weft.nodes.models.network_calls import library_errors
from weft.nodes.models.parametrisation import Parametrisation, SchedulerConfig
from weft.nodes.models.silence_libraries import quietly
from weft.nodes.sampling.ancestral_levels import keep_finite
from weft.nodes.sampling.noise import draw_noise
from weft.nodes.sampling.repainting import Repainting
from weft.nodes.sampling.samplers import (
    FRAME_FIRST_SCHEDULER,
    SCHEDULES,
    SamplerName,
    ScheduleName,
    samplers_of,
    samplers_that_take_sigmas,
)
from weft.nodes.sampling.sampling_run import Position, Predict, Record, StepCallback
from weft.nodes.sampling.scheduling import LEARNED, OF_THE_MODEL, ChainOptions, check_timing, scheduler_for, solver_for
from weft.nodes.sampling.step_limits import check_steps
from weft.nodes.sampling.step_noise import StepNoise, taking_noise


class SchedulerRun:
    """A run by a diffusers scheduler.

    Args:
        scheduler: freshly made; used for this run only.
        parametrisation: of the model.
        steps: the number of steps of a whole run.
        start_step: steps at the beginning that are left out, or that another run has walked.
        end_step: the step before which the walk ends; None walks to the last.
        generators: one CPU generator an item; noise for the start and for the steps comes from them, in this order.
        rows: items that each generator draws for at once: the batch, where there is one generator for all of it.
        by_frame: whether noise of clips is drawn frame by frame.
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
        rows: int = 1,
        by_frame: bool = False,
        eta: float = 0.0,
        timing: Mapping[str, Any] = MappingProxyType({}),
        device: str = "cpu",
    ) -> None:
        self.scheduler = scheduler
        self.parametrisation = parametrisation
        self.generators = list(generators)
        self.rows = rows
        self.by_frame = by_frame
        self.device = device
        # On the host, where schedulers look into their tables with them: the network gets a copy on its device.
        _set_timesteps(scheduler, parametrisation, steps, timing)
        _stretch(scheduler)
        keep_finite(scheduler)
        # Schedulers of second order list most timesteps twice: a step is `order` of them.
        self.skipped: int = start_step * scheduler.order
        self.end: int | None = end_step * scheduler.order if end_step is not None and end_step < steps else None
        self.timesteps: Tensor = scheduler.timesteps[self.skipped : self.end]
        # Without it, a scheduler looks for its first timestep by value, and a schedule may have one twice.
        if hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(self.skipped)
        taken = inspect.signature(scheduler.step).parameters
        options = {"generator": self.generators, "eta": eta}
        self.step_options = {name: option for name, option in options.items() if name in taken}

    @property
    def whole(self) -> bool:
        return self.skipped == 0

    @property
    def complete(self) -> bool:
        return self.end is None

    def draw(self, shape: Sequence[int], rows: int | None = None) -> Tensor:
        """The next noise of the generators `[batch, *shape]`.

        Args:
            rows: that one generator for the whole batch draws; None is all of it.
        """
        return draw_noise(self.generators, shape, self.device, min(rows or self.rows, self.rows), self.by_frame)

    def from_noise(self, noise: Tensor) -> Tensor:
        """Latents of pure noise, scaled for the first timestep."""
        return noise * float(getattr(self.scheduler, "init_noise_sigma", 1.0))

    def from_latents(self, latents: Tensor, noise: Tensor) -> Tensor:
        """`latents` with the noise of the first timestep that is walked; unchanged where no step is."""
        return self.noised(latents, noise) if len(self.timesteps) else latents

    def noised(self, latents: Tensor, noise: Tensor) -> Tensor:
        """`latents` under this noise, as strong as at the first timestep that is walked."""
        return self._at_timestep(self.timesteps[0], latents, noise)

    def _at_timestep(self, timestep: Tensor, latents: Tensor, noise: Tensor) -> Tensor:
        """`latents` under the noise of a timestep: the first of a run before its first step, later the next one."""
        one, nothing = torch.ones(1), torch.zeros(1)
        return self._noisy(timestep, one, nothing) * latents + self._noisy(timestep, nothing, one) * noise

    def _noisy(self, timestep: Tensor, clean: Tensor, noise: Tensor) -> Tensor:
        """A number under the noise of a timestep. On the host: on a device, schedulers wait for what they look up."""
        times = timestep.repeat(1)
        # FlowMatchEulerDiscreteScheduler and its kind take the arguments in another order than `add_noise`.
        if hasattr(self.scheduler, "scale_noise"):
            flowing: Tensor = self.scheduler.scale_noise(clean, times, noise)
            return flowing[0]
        noisy: Tensor = self.scheduler.add_noise(clean, noise, times)
        return noisy[0]

    def sample(
        self,
        predict: Predict,
        latents: Tensor,
        on_step: StepCallback,
        *,
        keep_noise: bool = True,
        record: Record | None = None,
        repainting: Repainting | None = None,
    ) -> Tensor:
        """Walk latents down the timesteps; `on_step` counts steps, of which some samplers take two predictions.

        Args:
            keep_noise: whether the noise that is left after the last timestep stays; else the last prediction takes it
                out.
            record: called after each whole step.
            repainting: what is kept of a picture after each timestep.
        """
        count, order = len(self.timesteps), self.scheduler.order
        noise = StepNoise(self.generators, self.rows, latents.shape[1:], self.device, count, self.by_frame)
        step = taking_noise(self.scheduler.step, noise)
        moments = _on_device(self.timesteps, self.device)
        for index, (timestep, moment) in enumerate(zip(self.timesteps, moments, strict=True)):
            seen = self._model_input(latents, timestep)
            prediction, variance = _parted(predict(seen, moment, Position(index, count, float(timestep))), latents)
            given = self._step_input(prediction, variance)
            with _called(type(self.scheduler).__name__):
                latents = step(given, timestep, latents, **self.step_options, return_dict=False)[0]
            denoised = partial(self.denoised, prediction, timestep, seen)
            if repainting:
                latents = self._repainted(latents, index, repainting)
                denoised = partial(repainting.clean, denoised, self._reached(index))
            on_step(index // order + 1, -(-count // order), denoised)
            if record and ((index + 1) % order == 0 or index + 1 == count):
                record(latents, denoised())
            if index + 1 == count and not keep_noise:
                latents = denoised()
        return latents

    def _repainted(self, latents: Tensor, index: int, repainting: Repainting) -> Tensor:
        """Latents after the `index`-th timestep, with the kept part of a picture at the level that they have there."""
        following = self.scheduler.timesteps[self.skipped + index + 1 :]
        source = repainting.source
        if len(following):
            source = self._at_timestep(following[0], source, repainting.noise)
        return repainting.blended(latents, source, self._reached(index))

    def _reached(self, index: int) -> Fraction:
        """The fraction of the whole schedule that lies behind after the `index`-th timestep."""
        return Fraction(self.skipped + index + 1, len(self.scheduler.timesteps))

    def _step_input(self, prediction: Tensor, variance: Tensor | None) -> Tensor:
        """What a step reads: the prediction, and the variance where the scheduler takes a predicted one.

        Raises:
            InputError: where it takes one, and the network predicts none.
        """
        name, config = type(self.scheduler).__name__, self.scheduler.config
        if name != "DDPMScheduler" or config.get("variance_type") not in LEARNED:
            return prediction
        if variance is None:
            raise InputError(
                f"{name} takes a variance that the network predicts, and it predicts none",
                f"choose one of: {', '.join(samplers_of(self.parametrisation.kind))}",
                "sampler-cannot-follow",
            )
        return torch.cat([prediction, variance], dim=1)

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


def _stretch(scheduler: Any) -> None:
    """Stretch the levels of a flow to `shift_terminal`, where the model asks for it and a solver's class cannot.

    As FlowMatchEulerDiscreteScheduler does (LTX-Video, https://arxiv.org/abs/2501.00103, section 3.4.1).
    """
    terminal = scheduler.config.get("shift_terminal")
    known = "shift_terminal" in inspect.signature(type(scheduler).__init__).parameters
    if not terminal or known or not scheduler.config.get("use_flow_sigmas"):
        return
    # DEIS has its last level twice in place of 0.
    stretched = slice(None) if scheduler.sigmas[-1] > 0 else slice(0, -1)
    shares = 1 - scheduler.sigmas[stretched]
    scheduler.sigmas[stretched] = 1 - shares * (1 - terminal) / shares[-1]
    times = scheduler.sigmas[:-1] * scheduler.config.num_train_timesteps
    scheduler.timesteps = times.to(scheduler.timesteps)


def _parted(prediction: Tensor, latents: Tensor) -> tuple[Tensor, Tensor | None]:
    """A prediction of the latents' channels, and the variance that some networks predict in as many further ones."""
    channels = latents.shape[1]
    if prediction.shape[1] != 2 * channels:
        return prediction, None
    return prediction[:, :channels], prediction[:, channels:]


def make_scheduler(
    config: SchedulerConfig,
    sampler: SamplerName,
    schedule: ScheduleName,
    steps: int | None = None,
    *,
    eta: float = 0.0,
    chain: ChainOptions = OF_THE_MODEL,
    spaces_steps: bool = False,
) -> Any:
    """A fresh diffusers scheduler for a sampler and a schedule over a checkpoint's scheduler configuration.

    Args:
        steps: that it is made for; None checks no number.
        eta: DDIM's share of fresh noise.
        chain: what is overridden of how steps of the training's own chain are taken.
        spaces_steps: whether the model gives the levels of its steps.

    Raises:
        InputError: where the sampler cannot follow the checkpoint's model, or make so many steps of its schedule.
    """
    solver = solver_for(config, sampler, schedule)
    check_timing(config, sampler, solver, spaces_steps)
    if steps is not None:
        check_steps(config, sampler, schedule, solver, steps)
    name, options = scheduler_for(config, sampler, schedule, eta, chain)
    scheduler_class = getattr(diffusers, name)
    with quietly(), _called(name):
        made = scheduler_class.from_config(dict(config), **options, **SCHEDULES[schedule])
    if name == FRAME_FIRST_SCHEDULER:
        from weft.nodes.sampling.frame_first_steps import FrameFirstSteps

        return FrameFirstSteps(made)
    return made


def _called(name: str) -> AbstractContextManager[None]:
    """Errors of a scheduler's class become an `InputError`, as in `library_errors`.

    Args:
        name: of the class.
    """

    def refusal(line: str) -> InputError:
        return InputError(
            f"{name} cannot be run with the options of this model's scheduler ({line})",
            "choose another sampler",
            "sampler-cannot-follow",
        )

    return library_errors(refusal)


def _on_device(timesteps: Tensor, device: str) -> Tensor:
    """Timesteps for the network. Those of some classes are of double precision, which MPS does not have."""
    if torch.device(device).type == "mps" and timesteps.dtype == torch.float64:
        timesteps = timesteps.float()
    return timesteps.to(device)


def _set_timesteps(scheduler: Any, parametrisation: Parametrisation, steps: int, timing: Mapping[str, Any]) -> None:
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
    # A list of timesteps takes the place of their number.
    number = {} if "timesteps" in given else {"num_inference_steps": steps}
    try:
        with quietly():
            scheduler.set_timesteps(**number, device="cpu", **given)
    except ValueError as refusal:
        raise InputError(
            f"{name} cannot make {steps} steps of this model's schedule: {refusal}",
            "ask for another number of steps, or choose another sampler",
            "wrong-steps",
        ) from refusal
