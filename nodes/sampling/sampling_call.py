"""One call of a sampler node: from a guide and latents to sampled latents.

Imports torch: only the bodies of nodes import this module. Read next: `weft.nodes.sampling.scheduler_run`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import torch

from weft.engine import Context, InputError
from weft.engine.events import BatchPreview
from weft.nodes.models.denoiser import Denoiser
from weft.nodes.models.latent_preview import LatentRGBFactors, with_decoder
from weft.nodes.models.parametrisation import Parametrisation, parametrisation_of
from weft.nodes.sampling.aligned_steps import timing_of
from weft.nodes.sampling.guide_patches import patches_of
from weft.nodes.sampling.level_walk import LevelWalk
from weft.nodes.sampling.noise import generators_for
from weft.nodes.sampling.run_start import RunStart, start_of
from weft.nodes.sampling.samplers import SamplerName, ScheduleName
from weft.nodes.sampling.sampling_run import GeneratorScope, SamplingRun, StepCallback
from weft.nodes.sampling.scheduler_run import SchedulerRun, make_scheduler
from weft.nodes.sampling.scheduling import ChainOptions
from weft.nodes.sampling.sigma_run import SigmaRun
from weft.nodes.sampling.switched_predictions import predictions_of
from weft.nodes.values import Guide, Latent

if TYPE_CHECKING:
    from torch import Tensor

RecordLatents = Callable[[Latent[Any], Latent[Any]], None]
"""Called with `(noisy, denoised)` after each step."""


@dataclass(frozen=True)
class SamplingSettings:
    """How a sampler node walks; its inputs of the same names.

    Args:
        walk: the noise levels to walk; None walks `steps` of a schedule.
        seed: of the noise, or one for each item.
        noise: of the first step, `[batch, channel, ...]`, in place of what the seeds draw; None draws it.
        generator: whether each item has a generator, or the batch has one.
    """

    walk: LevelWalk | None
    seed: int | list[int]
    steps: int
    sampler: SamplerName
    schedule: ScheduleName
    denoise: float
    eta: float
    chain: ChainOptions
    start_step: int
    end_step: int | None
    add_noise: bool
    keep_noise: bool
    noise: Tensor | None = None
    generator: GeneratorScope = "item"


def sampled(
    guide: Guide[Any],
    latent: Latent[Any],
    settings: SamplingSettings,
    context: Context,
    record: RecordLatents | None = None,
) -> Latent[Any]:
    """The latents that a sampler makes.

    Args:
        record: called after each step with the latents, which another run can go on from, and what they are denoised
            to.

    Raises:
        InputError: where the guide, the latents and the settings do not go together.
    """
    with ExitStack() as held, torch.inference_mode():
        guide, run, start, trained, colours = _prepared(guide, latent, settings, context, held)
        predict = predictions_of(guide, latent, run, trained, context, held)
        mask = start.mask_for_the_rest(latent.mask)

        def recorded(noisy: Tensor, denoised: Tensor) -> None:
            if record:
                going_on = replace(latent, samples=noisy.float().cpu().clone(), mask=mask, deviation=None)
                clean = replace(going_on, samples=denoised.float().cpu().clone(), mask=None)
                record(going_on, clean)

        samples = run.sample(
            predict,
            start.latents,
            _step_callback(context, colours),
            keep_noise=settings.keep_noise,
            record=recorded if record else None,
            repainting=start.repainting,
        )
        samples = _with_first_frames(samples, guide)
    goes_on = settings.keep_noise and not run.complete
    return replace(latent, samples=samples.cpu(), mask=mask if goes_on else None, deviation=None)


def _prepared(
    guide: Guide[Any], latent: Latent[Any], settings: SamplingSettings, context: Context, held: ExitStack
) -> tuple[Guide[Any], SamplingRun, RunStart, int, LatentRGBFactors]:
    """A guide with its first pictures drawn, a walk, what it starts from, the timesteps of training, and colours.

    Args:
        held: is given the guide's model, which nothing that is returned refers to: where another model takes over, no
            memory is to be kept for this one.
    """
    model = held.enter_context(context.weights(guide.model, Denoiser, patches=patches_of(guide)))
    run = _run(guide, model, latent, settings, context)
    guide = _begun(guide, run, latent.batch_size)
    start = _start(latent, model, run, settings)
    trained = int(model.scheduler.get("num_train_timesteps", 1000))
    return guide, run, start, trained, _colours(model, context)


def _begun(guide: Guide[Any], run: SamplingRun, batch: int) -> Guide[Any]:
    """A guide with the latents of the pictures that clips begin with drawn, by the generators of the run."""
    deviation = guide.first_deviation
    if deviation is None:
        return guide
    return guide.begun(run.draw(deviation.shape[1:], len(deviation)).cpu())


def _with_first_frames(samples: Tensor, guide: Guide[Any]) -> Tensor:
    """The latents of a clip with those that it was to begin with, which the network saw in place of its own."""
    given = guide.first_frames
    if given is None:
        return samples
    rest = samples[:, :, given.shape[2] :]
    return torch.cat([given.to(samples).expand(len(samples), -1, -1, -1, -1), rest], dim=2)


def _run(
    guide: Guide[Any], model: Denoiser, latent: Latent[Any], settings: SamplingSettings, context: Context
) -> SamplingRun:
    """The walk that the settings ask for."""
    parametrisation: Parametrisation = parametrisation_of(model.scheduler)
    generators = generators_for(seeds_of(settings.seed, latent.batch_size, settings.generator))
    rows = latent.batch_size // len(generators)
    if settings.walk is not None:
        return SigmaRun(
            parametrisation,
            settings.sampler,
            settings.walk,
            generators=generators,
            rows=rows,
            by_frame=model.draws_by_frame,
            eta=settings.eta,
            device=context.device,
        )
    config = model.scheduler_config(settings.sampler == "model", guide.steered)
    return SchedulerRun(
        make_scheduler(
            config,
            settings.sampler,
            settings.schedule,
            settings.steps,
            eta=settings.eta,
            chain=settings.chain,
            spaces_steps=model.spaces_steps,
        ),
        parametrisation,
        steps=settings.steps,
        start_step=settings.start_step + model.skipped_steps(settings.steps, settings.denoise),
        end_step=settings.end_step,
        generators=generators,
        rows=rows,
        by_frame=model.draws_by_frame,
        eta=settings.eta,
        timing=timing_of(model, settings.steps, latent, settings.schedule),
        device=context.device,
    )


def seeds_of(seed: int | list[int], batch: int, generator: GeneratorScope = "item") -> list[int]:
    """One seed for each generator: for each item, or one for the batch.

    Raises:
        InputError: where a list has another number of them.
    """
    if generator == "batch":
        batch = 1
    if isinstance(seed, int):
        return [seed + item for item in range(batch)]
    if len(seed) != batch:
        raise InputError(
            f"{len(seed)} seeds for {batch} generators", "give one seed, or one for each item", "batch-mismatch"
        )
    return seed


def _colours(model: Denoiser, context: Context) -> LatentRGBFactors:
    """What draws previews: the model's own colours, or the tiny autoencoder that the user's folder has for it."""
    return with_decoder(model.latent_rgb_factors, context.preview_decoders)


def _step_callback(context: Context, factors: LatentRGBFactors) -> StepCallback:
    """Reports each step to the engine, with a preview that is drawn only where somebody looks at it."""

    def report(step: int, steps: int, denoised: Callable[[], Tensor]) -> None:
        context.progress(step, steps, BatchPreview(lambda item: factors.png(denoised()[item:])))

    return report


def _start(latent: Latent[Any], model: Denoiser, run: SamplingRun, settings: SamplingSettings) -> RunStart:
    """What sampling starts from."""
    model.check_clip(latent)
    model.limits.check(latent.width, latent.height, model.latent_factor)
    shape = model.latent_shape(latent)
    if latent.samples is not None and tuple(latent.samples.shape[1:]) != shape:
        raise InputError(
            f"the latents have the shape {list(latent.samples.shape[1:])} for {latent.width} x {latent.height} pixels, "
            f"and those of the model {list(shape)}",
            "give latents of a VAE of the model's family",
            "wrong-latent",
        )
    begin = Fraction(0)
    if settings.walk is None:
        begin = Fraction(model.skipped_steps(settings.steps, settings.denoise), settings.steps)
    return start_of(
        run,
        latent,
        shape,
        add_noise=settings.add_noise,
        given_noise=settings.noise,
        begin=begin,
    )
