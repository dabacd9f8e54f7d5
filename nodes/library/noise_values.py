"""Noise as a value: DrawNoise and MixNoise, for samplers (KSampler's `noise`) and AddNoise."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal

from weft.engine import ADDED_LATER, INJECTED, Context, InputError, Limits, NodeProblem, Range, Upstream, node, value
from weft.nodes.library.latent_parts import have_samples, samples_of
from weft.nodes.library.sigmas import Sigmas
from weft.nodes.models.denoiser import Denoiser
from weft.nodes.sampling.sampler_choices import SamplerInput, ScheduleInput
from weft.nodes.sampling.samplers import SIGMAS_ALONE
from weft.nodes.sampling.sampling_run import GeneratorScope
from weft.nodes.sampling.schedule_checks import noise_fits
from weft.nodes.value_checks import check_tensor
from weft.nodes.values import F, Latent, Model

if TYPE_CHECKING:
    from torch import Tensor


@value
@dataclass(frozen=True, eq=False)
class Noise(Generic[F]):
    """Gaussian noise of unit variance for the latents of a model, `samples` `[batch, channel, ..., height, width]`."""

    samples: Tensor

    def check_value(self) -> None:
        """Raise `InputError` for samples that are no finite tensor of this form."""
        rest = ("channel", "height", "width")
        check_tensor("the samples of a Noise", self.samples, ("batch", *rest), ("batch", "channel", "frame", *rest[1:]))

    def __repr__(self) -> str:
        deviation = float(self.samples.std(correction=0))
        return f"Noise({' x '.join(map(str, self.samples.shape))}, standard deviation {deviation:.3g})"


@node(category="noise", lane="gpu")
def DrawNoise(
    model: Model[F],
    latent: Latent[F],
    *,
    seed: Annotated[int | list[int], Range(0, 2**64 - 1)] = 0,
    generator: Annotated[GeneratorScope, ADDED_LATER] = "item",
    alike: Annotated[float, Range(0.0, 1.0), ADDED_LATER] = 0.0,
    by_frame: Annotated[bool | None, ADDED_LATER] = None,
    context: Context = INJECTED,
) -> Noise[F]:
    """Draw noise of unit variance: exactly that which KSampler draws for this seed, where `alike` is 0.

    Where it adds none to its latents (`add_noise` false), this is the fresh noise of its first step, if that has any.

    Args:
        model: from LoadCheckpoint; it says how many channels there are and how many pixels an element covers.
        latent: the size and the batch: EmptyLatent, or latents.
        seed: item i of a batch uses seed + i, modulo 2^64; or a list with one seed for each item.
        generator: whether each item has a generator, or the batch has one, as for KSampler.
        alike: the share of the variance that all frames of a clip have in common, for models that were trained so, as
            `builtin:landscapes-motion` with 0.5 ("Preserve Your Own Correlation", Ge et al., 2023, section 4.1).
        by_frame: whether all channels of a frame are drawn before those of the next one; null is as the pipeline of the
            model in diffusers draws clips and layers. In ComfyUI no noise is drawn so.
    """
    from weft.nodes.sampling.noise import draw_noise, generators_for
    from weft.nodes.sampling.sampling_call import seeds_of

    with context.weights(model, Denoiser) as denoiser:
        shape = denoiser.latent_shape(latent) if latent.samples is None else latent.samples.shape[1:]
        turned = denoiser.draws_by_frame if by_frame is None else by_frame
    generators = generators_for(seeds_of(seed, latent.batch_size, generator))
    rows = latent.batch_size // len(generators)
    noise = draw_noise(generators, shape, "cpu", rows, turned)
    if not alike or len(shape) < 4:
        return Noise(noise)
    channels, _, *sides = shape
    common = draw_noise(generators, (channels, 1, *sides), "cpu", rows)
    return Noise(alike**0.5 * common + (1 - alike) ** 0.5 * noise)


@node(category="noise")
def MixNoise(
    first: Noise[F],
    second: Noise[F],
    *,
    amount: Annotated[float, Range(0.0, 1.0)] = 0.1,
    method: Literal["angle", "variance"] = "angle",
) -> Noise[F]:
    """Mix two noises so that the result has unit variance too: a little of a second seed varies a picture a little.

    Args:
        first: what `amount` 0 gives.
        second: of the same shape, drawn with another seed; what `amount` 1 gives.
        amount: 0.05 to 0.2 keeps the composition; 0.5 is halfway between two pictures.
        method: `angle` mixes with the cosine and the sine of amount x 90 degrees, in equal steps on the way from one
            noise to the other; `variance` with the roots of 1 - amount and amount, which are their shares of the
            variance.
    """
    from weft.nodes.sampling.interpolation import by_angle, by_variance

    if first.samples.shape != second.samples.shape:
        raise InputError(
            f"the noises have the shapes {list(first.samples.shape)} and {list(second.samples.shape)}",
            "draw both for the same latent and model",
            "size-mismatch",
        )
    before, after = (by_angle if method == "angle" else by_variance)(amount)
    return Noise(before * first.samples + after * second.samples)


def _check_step(inputs: Mapping[str, Any], limits: Limits) -> Iterable[NodeProblem]:
    """One input says how strong the noise is, and the step is one of the schedule."""
    timestep, sigmas, step = inputs.get("timestep"), inputs.get("sigmas", "linked"), inputs.get("step", 0)
    if timestep is not None and (sigmas is not None or step):
        message = f"`timestep` and `{'step' if step else 'sigmas'}` both say how strong the noise is"
        yield NodeProblem("timestep", message, "leave one of them out", "conflicting-inputs")
    if inputs.get("sampler") in SIGMAS_ALONE:
        message = f"the sampler `{inputs['sampler']}` has no schedule of its own"
        yield NodeProblem("sampler", message, "link `sigmas` to MakeSigmas", "needs-sigmas")
    if sigmas is None and step >= inputs.get("steps", step + 1):
        message = f"step {step} lies beyond the last of {inputs['steps']} steps"
        yield NodeProblem("step", message, f"give 0 to {inputs['steps'] - 1}", "out-of-range")


def _noise_fits(node: Upstream) -> Iterator[NodeProblem]:
    yield from have_samples(node)
    yield from noise_fits(node)


@node(category="noise", lane="gpu", check=_check_step, fits=_noise_fits)
def AddNoise(
    model: Model[F],
    latent: Latent[F],
    noise: Noise[F],
    sigmas: Sigmas[F] | None = None,
    *,
    timestep: Annotated[float | None, Range(0.0, 10_000.0)] = None,
    steps: Annotated[int, Range(1, 10_000)] = 20,
    step: Annotated[int, Range(0, 10_000)] = 0,
    sampler: SamplerInput = "dpmpp_2m",
    schedule: ScheduleInput = "model",
    context: Context = INJECTED,
) -> Latent[F]:
    """Put latents under noise, as strong as at a step of a run: x_t from x_0, the forward process.

    With a step it is `add_noise` of diffusers' scheduler, so that KSampler with the same steps, sampler and schedule
    goes on from it with that `start_step` and `add_noise` false. With a timestep it is x_t as the network sees it:
    sqrt(alpha-bar) x_0 + sqrt(1 - alpha-bar) noise (Ho et al., "DDPM", 2020, equation 4), and for flow-matching models
    (1 - t) x_0 + t noise.

    Args:
        model: from LoadCheckpoint.
        latent: latents without noise, x_0.
        noise: from DrawNoise or MixNoise, of the shape of the latents.
        sigmas: the noise levels of a run (MakeSigmas, SplitSigmas), instead of a step: the first of them.
        timestep: of the training, instead of a step: 0 to 999 for most models, where 999 is nearly noise alone.
        steps: of the whole schedule, as for KSampler.
        step: the step at whose beginning the noise is this strong, counted from 0: less noise at later ones.
        sampler: the sampling method, which decides how noisy latents are scaled.
        schedule: the spacing of the noise levels.
    """
    from weft.nodes.models.parametrisation import parametrisation_of
    from weft.nodes.sampling.aligned_steps import timing_of
    from weft.nodes.sampling.scheduler_run import SchedulerRun, make_scheduler
    from weft.nodes.sampling.sigma_run import SigmaRun

    clean = samples_of(latent)
    if noise.samples.shape != clean.shape:
        raise InputError(
            f"the noise has the shape {list(noise.samples.shape)}, the latents {list(clean.shape)}",
            "draw it for this latent and this model (DrawNoise)",
            "size-mismatch",
        )
    with context.weights(model, Denoiser) as denoiser:
        parametrisation = parametrisation_of(denoiser.scheduler)
        if timestep is not None:
            return replace(latent, samples=parametrisation.forward(clean, noise.samples, timestep), deviation=None)
        if sigmas is not None:
            levels = SigmaRun(parametrisation, "euler", sigmas.walk, generators=[])
            return replace(latent, samples=levels.noised(clean, noise.samples), deviation=None)
        config = denoiser.scheduler_config(sampler == "model")
        scheduler = make_scheduler(config, sampler, schedule, steps, spaces_steps=denoiser.spaces_steps)
        timing = timing_of(denoiser, steps, latent, schedule)
        run = SchedulerRun(scheduler, parametrisation, steps=steps, start_step=step, generators=[], timing=timing)
    return replace(latent, samples=run.noised(clean, noise.samples).float(), deviation=None)
