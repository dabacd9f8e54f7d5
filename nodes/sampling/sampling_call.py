"""One call of a sampler node: from a guide and latents to sampled latents.

Imports torch: only the bodies of nodes import this module. Read next: `weft.nodes.sampling.scheduler_run`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from weft.engine import Context, InputError
from weft.nodes.models.denoiser import Denoiser
from weft.nodes.models.parametrisation import Parametrisation, parametrisation_of
from weft.nodes.sampling.guide_patches import patches_of
from weft.nodes.sampling.guided_denoiser import guided
from weft.nodes.sampling.noise import generators_for
from weft.nodes.sampling.samplers import SamplerName, ScheduleName
from weft.nodes.sampling.sampling_run import Record, SamplingRun, StepCallback
from weft.nodes.sampling.scheduler_run import SchedulerRun, make_scheduler
from weft.nodes.sampling.sigma_run import SigmaRun
from weft.nodes.values import Guide, Latent

if TYPE_CHECKING:
    from torch import Tensor

    from weft.nodes.models.latent_preview import LatentRGBFactors


@dataclass(frozen=True)
class SamplingSettings:
    """How a sampler node walks; its inputs of the same names.

    Args:
        levels: the noise levels to walk; None walks `steps` of a schedule.
        seed: of the noise, or one for each item.
        noise: of the first step, `[batch, channel, ...]`, in place of what the seeds draw; None draws it.
    """

    levels: Sequence[float] | None
    seed: int | list[int]
    steps: int
    sampler: SamplerName
    schedule: ScheduleName
    denoise: float
    eta: float
    start_step: int
    end_step: int | None
    add_noise: bool
    keep_noise: bool
    noise: Tensor | None = None


def sampled(
    guide: Guide[Any],
    latent: Latent[Any],
    settings: SamplingSettings,
    context: Context,
    record: Record | None = None,
) -> Latent[Any]:
    """The latents that a sampler makes.

    Args:
        record: called after each step with the latents and what they are denoised to.

    Raises:
        InputError: where the guide, the latents and the settings do not go together.
    """
    with (
        context.weights(guide.model, Denoiser, patches=patches_of(guide)) as model,
        guided(guide, model, latent, context) as predict,
    ):
        run = _run(guide, model, latent, settings, context)
        start = _start(latent, model, run, settings)
        on_step = _step_callback(context, model.latent_rgb_factors)
        samples = run.sample(predict, start, on_step, keep_noise=settings.keep_noise, record=record)
    return replace(latent, samples=samples.cpu())


def _run(
    guide: Guide[Any], model: Denoiser, latent: Latent[Any], settings: SamplingSettings, context: Context
) -> SamplingRun:
    """The walk that the settings ask for."""
    parametrisation: Parametrisation = parametrisation_of(model.scheduler)
    generators = generators_for(seeds_of(settings.seed, latent.batch_size))
    if settings.levels is not None:
        return SigmaRun(
            parametrisation,
            settings.sampler,
            settings.levels,
            generators=generators,
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
            spaces_steps=model.spaces_steps,
        ),
        parametrisation,
        steps=settings.steps,
        start_step=settings.start_step + model.skipped_steps(settings.steps, settings.denoise),
        end_step=settings.end_step,
        generators=generators,
        eta=settings.eta,
        timing=model.timing(settings.steps, latent),
        device=context.device,
    )


def seeds_of(seed: int | list[int], batch: int) -> list[int]:
    """One seed an item.

    Raises:
        InputError: where a list has another number of them.
    """
    if isinstance(seed, int):
        return [seed + item for item in range(batch)]
    if len(seed) != batch:
        raise InputError(
            f"{len(seed)} seeds for a batch of {batch}", "give one seed, or one for each item", "batch-mismatch"
        )
    return seed


def _step_callback(context: Context, factors: LatentRGBFactors) -> StepCallback:
    """Reports each step to the engine, with a preview that is drawn only where somebody looks at it."""
    return lambda step, steps, denoised: context.progress(step, steps, lambda: factors.png(denoised()))


def _start(latent: Latent[Any], model: Denoiser, run: SamplingRun, settings: SamplingSettings) -> Tensor:
    """What sampling starts from: noise, the given latents under noise, or these as they are."""
    model.size_limits(model.network.config).check(latent.width, latent.height, model.latent_factor)
    given = latent.samples
    shape = model.latent_shape(latent) if given is None else given.shape[1:]
    if settings.noise is not None:
        _check_noise(settings.noise, (latent.batch_size, *shape))
    noise = None if settings.noise is None else settings.noise.to(run.device)
    if given is not None:
        placed = given.to(run.device)
        return run.from_latents(placed, noise) if settings.add_noise else placed
    if run.skipped or not settings.add_noise:
        raise InputError(
            "the run begins with given latents, and the latent is only a size, with nothing in it",
            "set `denoise` to 1, `start_step` to 0 and `add_noise` to true, or give latents (VAEEncode, KSampler)",
            "empty-latent",
        )
    return run.from_noise(shape, noise)


def _check_noise(noise: Tensor, shape: Sequence[int]) -> None:
    """Raise `InputError` unless noise is of the shape of the latents."""
    if tuple(noise.shape) != tuple(shape):
        raise InputError(
            f"the noise has the shape {list(noise.shape)}, the latents {list(shape)}",
            "draw it for this latent and this model (DrawNoise)",
            "size-mismatch",
        )
