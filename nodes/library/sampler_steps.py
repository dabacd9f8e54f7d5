"""A run of a sampler with what it passes through: KSamplerSteps."""

from __future__ import annotations

from typing import Annotated, Generic, NamedTuple

from weft.engine import ADDED_LATER, INJECTED, Context, Range, Work, node
from weft.nodes.library.noise_values import Noise
from weft.nodes.library.sampler import check_sampling
from weft.nodes.library.sigmas import Sigmas
from weft.nodes.sampling.compatibility import sampling_fits
from weft.nodes.sampling.sampler_choices import VARIANCES, SamplerInput, ScheduleInput
from weft.nodes.sampling.sampling_run import GeneratorScope
from weft.nodes.sampling.scheduling import ChainOptions, Variance
from weft.nodes.sampling.workloads import SAMPLING_MEMORY, sampling_work
from weft.nodes.values import F, Guide, Latent


class SampledSteps(NamedTuple, Generic[F]):
    """The outputs of KSamplerSteps."""

    latent: Latent[F]
    noisy: list[Latent[F]]
    denoised: list[Latent[F]]


@node(
    category="sampling",
    lane="gpu",
    check=check_sampling,
    fits=sampling_fits,
    traits=(Work(sampling_work), SAMPLING_MEMORY),
)
def KSamplerSteps(
    guide: Guide[F],
    latent: Latent[F],
    sigmas: Sigmas[F] | None = None,
    noise: Noise[F] | None = None,
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
    generator: Annotated[GeneratorScope, ADDED_LATER] = "item",
    context: Context = INJECTED,
) -> SampledSteps[F]:
    """Sample as KSampler does, and give what the run passes through, to look at how a picture forms.

    `noisy` has x_t, the latents after each step as the sampler holds them, which another KSampler can go on from with
    that `start_step` and `add_noise` false. `denoised` has x_0, what the network takes the finished latents to be at
    each step; BatchLatents, VAEDecode and ImageGrid make a film strip of them.

    Args:
        guide: from CFGGuide.
        latent: a size (EmptyLatent), or latents to start from.
        sigmas: the noise levels, as for KSampler.
        noise: the noise of the first step, as for KSampler.
        seed: of the noise, as for KSampler.
        steps: of the whole schedule. Each is kept, so many steps of large latents take memory.
        sampler: the sampling method; `model` is the one of the checkpoint.
        schedule: the spacing of the noise levels; `model` is that of the checkpoint.
        denoise: the share of the schedule that is run on given latents, as for KSampler.
        eta: the share of new noise in each step, as for KSampler.
        variance: of the noise in each step of `ddpm`.
        clip: whether what each step takes the picture to be is clipped, as for KSampler.
        start_step: the first step, counted from 0.
        end_step: the step to stop before; null runs to the end.
        add_noise: whether the noise of the first step is added to given latents.
        generator: whether each item has a generator, or the batch has one, as for KSampler.
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
        keep_noise=True,
        noise=noise.samples if noise else None,
        generator=generator,
    )
    noisy, denoised = list[Latent[F]](), list[Latent[F]]()

    def record(going_on: Latent[F], clean: Latent[F]) -> None:
        noisy.append(going_on)
        denoised.append(clean)

    return SampledSteps(sampled(guide, latent, settings, context, record), noisy, denoised)
