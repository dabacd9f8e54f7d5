"""Noise as a value: DrawNoise and MixNoise, for samplers (KSampler's `noise`) and AddNoise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Generic, Literal

from weft.engine import INJECTED, Context, InputError, Range, node, value
from weft.nodes.models.denoiser import Denoiser
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
    context: Context = INJECTED,
) -> Noise[F]:
    """Draw noise of unit variance: exactly that which KSampler draws for this seed.

    Args:
        model: from LoadCheckpoint; it says how many channels there are and how many pixels an element covers.
        latent: the size and the batch: EmptyLatent, or latents.
        seed: item i of a batch uses seed + i, modulo 2^64; or a list with one seed for each item.
    """
    from weft.nodes.sampling.noise import draw_noise, generators_for
    from weft.nodes.sampling.sampling_call import seeds_of

    with context.weights(model, Denoiser) as denoiser:
        shape = denoiser.latent_shape(latent) if latent.samples is None else latent.samples.shape[1:]
    return Noise(draw_noise(generators_for(seeds_of(seed, latent.batch_size)), shape, "cpu"))


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
