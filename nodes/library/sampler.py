"""Sampling: KSampler."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any

from weft.engine import ADDED_LATER, INJECTED, Advice, Context, Limits, NodeProblem, Range, Upstream, Work, node
from weft.nodes.library.noise_values import Noise
from weft.nodes.library.sigmas import Sigmas
from weft.nodes.sampling.compatibility import sampling_fits
from weft.nodes.sampling.sampler_choices import VARIANCES, SamplerInput, ScheduleInput
from weft.nodes.sampling.samplers import SAMPLERS, SIGMAS_ALONE, samplers_for
from weft.nodes.sampling.sampling_run import GeneratorScope
from weft.nodes.sampling.scheduling import TAKE_CLIPPING, TAKE_VARIANCE, ChainOptions, Variance
from weft.nodes.sampling.second_model_advice import second_model_advice
from weft.nodes.sampling.sigma_samplers import SIGMA_SAMPLERS
from weft.nodes.sampling.size_advice import size_advice
from weft.nodes.sampling.workloads import SAMPLING_MEMORY, sampling_work
from weft.nodes.sizes import SizeTraits, same_size
from weft.nodes.values import F, Guide, Latent


def _check_pair(inputs: Mapping[str, Any], limits: Limits) -> Iterable[NodeProblem]:
    """The sampler must support the schedule."""
    sampler, schedule = inputs.get("sampler"), inputs.get("schedule")
    row = SAMPLERS.get(sampler) if sampler else None
    if sampler in SIGMAS_ALONE:
        yield NodeProblem(
            "sampler",
            f"the sampler `{sampler}` needs an explicit list of sigmas",
            "link `sigmas` to MakeSigmas",
            "needs-sigmas",
        )
    if row and schedule and schedule not in row.schedules:
        yield NodeProblem(
            "schedule",
            f"the sampler `{sampler}` cannot follow the schedule `{schedule}`; it can: {', '.join(row.schedules)}",
            f"choose one of these, or a sampler that follows `{schedule}`: {', '.join(samplers_for(schedule))}",
            "schedule-cannot-follow",
        )


def _check_eta(inputs: Mapping[str, Any]) -> Iterable[NodeProblem]:
    """The sampler must take an eta where one is given."""
    sampler, able = inputs.get("sampler", "model"), [name for name, row in SAMPLERS.items() if row.takes_eta]
    if inputs.get("eta") and sampler not in ("model", *able):
        hint = f"leave it at 0, or choose: {', '.join(able)}"
        yield NodeProblem("eta", f"the sampler `{sampler}` takes no eta", hint, "unsupported-by-sampler")


def _check_generator(inputs: Mapping[str, Any]) -> Iterable[NodeProblem]:
    """One generator has one seed."""
    seed = inputs.get("seed")
    if inputs.get("generator") == "batch" and isinstance(seed, list) and len(seed) > 1:
        message = f"one generator for the whole batch has one seed, and there are {len(seed)}"
        yield NodeProblem("seed", message, "give one seed, or set `generator` to `item`", "conflicting-inputs")


def _check_chain(inputs: Mapping[str, Any]) -> Iterable[NodeProblem]:
    """The sampler must take the variance and the clipping that are given."""
    sampler = inputs.get("sampler", "model")
    given = {"variance": inputs.get("variance", "model") != "model", "clip": inputs.get("clip") is not None}
    for name, able in (("variance", TAKE_VARIANCE), ("clip", TAKE_CLIPPING)):
        if given[name] and sampler not in ("model", *able):
            message, hint = f"the sampler `{sampler}` takes no `{name}`", f"leave it out, or choose: {', '.join(able)}"
            yield NodeProblem(name, message, hint, "unsupported-by-sampler")


def check_sampling(inputs: Mapping[str, Any], limits: Limits) -> Iterable[NodeProblem]:
    """The sampler, the schedule and the steps must go together, or the sampler and the sigmas."""
    yield from _check_eta(inputs)
    yield from _check_generator(inputs)
    yield from _check_chain(inputs)
    if inputs.get("sigmas", "linked") is not None:
        yield from _check_sigmas(inputs)
        return
    yield from _check_pair(inputs, limits)
    yield from _check_steps(inputs, limits)


SET_BY_SIGMAS = {"steps": 20, "schedule": "model", "denoise": 1.0, "start_step": 0, "end_step": None}
"""Inputs that conflict with `sigmas`, with their defaults."""


def _check_sigmas(inputs: Mapping[str, Any]) -> Iterable[NodeProblem]:
    """The sampler must support sigmas, and no other input may set the steps."""
    sampler = inputs.get("sampler")
    if sampler is not None and sampler not in SIGMA_SAMPLERS:
        hint = f"choose one of: {', '.join(SIGMA_SAMPLERS)}"
        yield NodeProblem("sampler", f"the sampler `{sampler}` takes no list of sigmas", hint, "unsupported-by-sampler")
    for name, default in SET_BY_SIGMAS.items():
        if inputs.get(name, "linked") != default:
            message = f"`{name}` and `sigmas` conflict: both set the steps"
            yield NodeProblem(
                name, message, f"leave `{name}` out; MakeSigmas and SplitSigmas set it", "conflicting-inputs"
            )


def _check_steps(inputs: Mapping[str, Any], limits: Limits) -> Iterable[NodeProblem]:
    """The steps must lie in the schedule, and only one input may set the first one."""
    start, end, steps = inputs.get("start_step") or 0, inputs.get("end_step"), inputs.get("steps")
    last = steps if end is None else end
    if last is not None and start > last:
        yield NodeProblem(
            "start_step", f"step {start} lies after the end, {last}", "start earlier, or end later", "empty-interval"
        )
    if start and inputs.get("denoise", 1.0) < 1:
        message = "`start_step` and `denoise` both say where the run begins"
        yield NodeProblem("start_step", message, "leave `denoise` at 1, or `start_step` at 0", "conflicting-inputs")


def _advice(sampler: Upstream) -> Iterator[NodeProblem]:
    yield from size_advice(sampler)
    yield from second_model_advice(sampler)


@node(
    category="sampling",
    lane="gpu",
    check=check_sampling,
    fits=sampling_fits,
    traits=(SizeTraits(same_size, of="latent"), Advice(_advice), Work(sampling_work), SAMPLING_MEMORY),
)
def KSampler(
    guide: Guide[F],
    latent: Latent[F],
    sigmas: Sigmas[F] | None = None,
    noise: Annotated[Noise[F] | None, ADDED_LATER] = None,
    *,
    seed: Annotated[int | list[int], Range(0, 2**64 - 1)] = 0,
    steps: Annotated[int, Range(1, 10_000)] = 20,
    sampler: SamplerInput = "dpmpp_2m",
    schedule: ScheduleInput = "model",
    denoise: Annotated[float, Range(0.0, 1.0)] = 1.0,
    eta: Annotated[float, Range(0.0, 1.0)] = 0.0,
    variance: Annotated[Variance, VARIANCES, ADDED_LATER] = "model",
    clip: Annotated[bool | None, ADDED_LATER] = None,
    start_step: Annotated[int, Range(0, 10_000)] = 0,
    end_step: Annotated[int | None, Range(0, 10_000)] = None,
    add_noise: bool = True,
    keep_noise: bool = True,
    generator: Annotated[GeneratorScope, ADDED_LATER] = "item",
    context: Context = INJECTED,
) -> Latent[F]:
    """Sample latents from noise, or from given latents.

    Noise is drawn on the CPU in float32, with one generator for each item, so an item is the same alone and in a batch.
    Samplers and schedules follow the formulas of diffusers, whose pipelines are matched within 1/255.

    Two of these nodes in a row, the first up to `end_step` with the noise kept and the second from that step on, equal
    one for single-step samplers: `ddim` and `tcd` without eta, `euler`, `heun`, `dpm2`, and `dpmpp_2s` after an even
    number of steps. Only latents are passed on: multistep samplers (`dpmpp_2m` and others) start again without history,
    and stochastic samplers draw noise again, so give the second another seed.

    Args:
        guide: from CFGGuide.
        latent: a size (EmptyLatent), or latents to start from.
        sigmas: the noise levels (MakeSigmas, ListSigmas), instead of `steps`, `schedule`, `denoise`,
            `start_step` and `end_step`.
        noise: the noise of the first step (DrawNoise, MixNoise), in place of what `seed` draws; what a sampler draws
            in later steps stays that of `seed`.
        seed: of the noise: item i of a batch uses seed + i, modulo 2^64; or a list with one seed for each item.
        steps: of the whole schedule.
        sampler: the sampling method; `model` is the one of the checkpoint.
        schedule: the spacing of the noise levels; `model` is that of the checkpoint.
        denoise: the share of the schedule that is run on given latents, at its end, as in diffusers' image-to-image
            pipelines: the last int(steps x denoise) steps; for SD 3, FLUX.1, Z-Image and Qwen-Image all but the first
            int(steps - steps x denoise), so that a part of a step counts as one. At 0 steps the latents are returned
            unchanged. A size needs 1. For `lcm` it is as in diffusers' StableDiffusionImg2ImgPipeline; in contrast
            LatentConsistencyModelImg2ImgPipeline spaces all steps over this share.
        eta: the share of new noise in each step, for `ddim` and `tcd`; 0 is deterministic.
        variance: of the noise in each step of `ddpm`.
        clip: for `ddpm` and `ddim`, whether what each step takes the picture to be is clipped to -1..1; null is as the
            model's configuration has it, which is true for most models of pixels and false for those of latents.
        start_step: the first step, counted from 0; earlier ones were run by another KSampler.
        end_step: the step to stop before, for another KSampler to continue; null runs to the end.
        add_noise: whether the noise of the first step is added to given latents; set it to false for latents from
            another KSampler that kept their noise.
        keep_noise: whether latents keep the noise that is left at `end_step`; else the last prediction removes it.
        generator: `item` draws the noise of item i by a generator of its own, so that an item is the same alone and in
            a batch, as diffusers' pipelines do with a list of generators. `batch` draws for all items at once by one
            generator, as they do with a single one: batches made by diffusers before are found with it.
    """
    from weft.nodes.sampling.sampling_call import SamplingSettings, sampled

    settings = SamplingSettings(
        walk=sigmas.walk if sigmas else None,
        seed=seed,
        steps=steps,
        sampler=sampler,
        schedule=schedule,
        denoise=denoise,
        eta=eta,
        chain=ChainOptions(variance, clip),
        start_step=start_step,
        end_step=end_step,
        add_noise=add_noise,
        keep_noise=keep_noise,
        noise=noise.samples if noise else None,
        generator=generator,
    )
    return sampled(guide, latent, settings, context)
