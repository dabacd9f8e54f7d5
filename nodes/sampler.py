"""Sampling: KSampler."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

from weft.engine import INJECTED, Context, InputError, Limits, NodeProblem, Range, node
from weft.nodes.samplers import SAMPLERS, SamplerName, ScheduleName, samplers_for
from weft.nodes.values import F, Guide, Latent

if TYPE_CHECKING:
    from torch import Tensor

    from weft.nodes.modules import Denoiser
    from weft.nodes.preview import Colours
    from weft.nodes.stepper import Progress, SchedulerStepper


def _check_pair(inputs: Mapping[str, Any], limits: Limits) -> Iterable[NodeProblem]:
    """The sampler must be able to follow the schedule, and to take an eta where one is given."""
    sampler, schedule = inputs.get("sampler"), inputs.get("schedule")
    row = SAMPLERS.get(sampler) if sampler else None
    if row and schedule and schedule not in row.schedules:
        yield NodeProblem(
            "schedule",
            f"the sampler `{sampler}` cannot follow the schedule `{schedule}`; it can: {', '.join(row.schedules)}",
            f"choose one of these, or a sampler that follows `{schedule}`: {', '.join(samplers_for(schedule))}",
        )
    if row and inputs.get("eta") and not row.takes_eta:
        able = ", ".join(name for name, other in SAMPLERS.items() if other.takes_eta)
        yield NodeProblem("eta", f"the sampler `{sampler}` takes no eta", f"leave it at 0, or choose: {able}")


@node(category="sampling", lane="gpu", check=_check_pair)
def KSampler(
    guide: Guide[F],
    latent: Latent[F],
    *,
    seed: Annotated[int | list[int], Range(0, 2**64 - 1)] = 0,
    steps: Annotated[int, Range(1, 10_000)] = 20,
    sampler: SamplerName = "dpmpp_2m",
    schedule: ScheduleName = "model",
    denoise: Annotated[float, Range(0.0, 1.0)] = 1.0,
    eta: Annotated[float, Range(0.0, 1.0)] = 0.0,
    context: Context = INJECTED,
) -> Latent[F]:
    """Sample latents from noise, or sample given latents anew.

    Noise is drawn on the CPU in float32, one generator an item, so an item comes out the same alone and in a batch.
    Samplers and schedules mean the formulas of diffusers, whose pipelines are matched within 1/255.

    Args:
        guide: from CFGGuide.
        latent: a size (EmptyLatent) to fill from noise, or latents to start from.
        seed: of the noise: item i of a batch uses seed + i, modulo 2^64; or a list with one seed for each item.
        steps: of the whole schedule.
        sampler: how a step is made.
        schedule: how the noise levels are spaced; `model` is the checkpoint's own spacing.
        denoise: the share of the schedule that given latents go through, its end: int(steps x denoise) steps. 1 goes
            through all of it; where not one step is left, the latents are returned as they are. A size needs 1.
        eta: the share of fresh noise in each step, for `ddim`; 0 is deterministic.
    """
    from weft.nodes.denoiser import guided
    from weft.nodes.stepper import SchedulerStepper, generators_for, make_scheduler, sample

    generators = generators_for(_seeds(seed, latent.batch_size))
    with context.weights(guide.model) as model, guided(guide, model, latent, context) as denoiser:
        stepper = SchedulerStepper(
            make_scheduler(model.scheduler, sampler, schedule),
            steps=steps,
            denoise=denoise,
            generators=generators,
            eta=eta,
            device=context.device,
        )
        samples = sample(denoiser, stepper, _start(latent, model, stepper), _telling(context, model.colours))
    return Latent(latent.width, latent.height, latent.batch_size, samples.cpu())


def _seeds(seed: int | list[int], batch: int) -> list[int]:
    """One seed an item."""
    if isinstance(seed, int):
        return [seed + item for item in range(batch)]
    if len(seed) != batch:
        raise InputError(f"{len(seed)} seeds for a batch of {batch}", "give one seed, or one for each item")
    return seed


def _telling(context: Context, colours: Colours) -> Progress:
    """Tell the engine of each step, and what the picture looks like where it wants to know."""
    return lambda step, steps, denoised: context.progress(step, steps, lambda: colours.png(denoised()))


def _start(latent: Latent[Any], model: Denoiser, stepper: SchedulerStepper) -> Tensor:
    """What sampling starts from: noise, or the given latents under noise."""
    if latent.samples is not None:
        return stepper.from_latents(latent.samples.to(stepper.device))
    if stepper.skipped:
        raise InputError(
            "denoise is below 1, and the latent is only a size, with nothing in it to keep",
            "set denoise to 1, or start from a picture (VAEEncode)",
        )
    factor = model.latent_factor
    return stepper.from_noise((model.latent_channels, latent.height // factor, latent.width // factor))
