"""Latents blended, added, multiplied, and made of numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from operator import add, mul, sub
from typing import Annotated, Any, Literal

from weft.engine import INJECTED, Context, InputError, Limits, NodeProblem, Range, check_pixels, node
from weft.nodes.library.latent_parts import elements, have_samples, matched, samples_of
from weft.nodes.sampling.interpolation import linear, spherical
from weft.nodes.values import F, Latent

Arithmetic = Literal["add", "subtract", "multiply"]

_ARITHMETIC: Mapping[Arithmetic, Callable[[Any, Any], Any]] = {"add": add, "subtract": sub, "multiply": mul}


@node(category="latent", fits=have_samples)
def BlendLatents(
    first: Latent[F],
    second: Latent[F],
    *,
    amount: Annotated[float, Range(0.0, 1.0)] = 0.5,
    method: Literal["linear", "spherical"] = "spherical",
) -> Latent[F]:
    """Go from one latent to another, straight or along the arc between them (slerp).

    Args:
        first: latents; what `amount` 0 gives.
        second: latents of the same shape; what `amount` 1 gives. Of two batches, one may have a single item.
        amount: how far, in 0..1.
        method: `linear` is (1 - amount) x first + amount x second, for latents of pictures. `spherical` goes along the
            arc between them (slerp; Shoemake, "Animating Rotation with Quaternion Curves", 1985, section 3.3), item by
            item, and keeps the strength of noise: for noise, and for latents that were sampled towards noise (sigmas
            that rise). Where they point nearly the same way it is linear.
    """
    one, other = matched(first, second)
    samples = (linear if method == "linear" else spherical)(one, other, amount)
    return replace(first, batch_size=len(samples), samples=samples, deviation=None)


@node(category="latent", fits=have_samples)
def LatentMath(a: Latent[F], b: Latent[F] | float, operation: Arithmetic = "add") -> Latent[F]:
    """Arithmetic on the elements of latents, by other latents or by a number.

    Args:
        a: latents.
        b: latents of the same shape, or a number. Of two batches, one may have a single item.
        operation: `subtract` is a - b. To lead a picture from one prompt towards another, add a part of the difference
            of two latents.
    """
    one, other = matched(a, b) if isinstance(b, Latent) else (samples_of(a), b)
    samples = _ARITHMETIC[operation](one, other)
    return replace(a, batch_size=len(samples), samples=samples, deviation=None)


def _check_made(inputs: Mapping[str, Any], limits: Limits) -> Iterable[NodeProblem]:
    """The size must be within the limits, and the values as many as it has."""
    try:
        check_pixels(inputs.get("width", 8), inputs.get("height", 8), 1, limits)
    except InputError as fault:
        yield NodeProblem.of(fault, "width")
        return
    if not {"values", "channels", "width", "height", "factor"} <= inputs.keys():
        return
    try:
        _shape(**{name: inputs[name] for name in ("values", "channels", "width", "height", "factor")})
    except InputError as fault:
        yield NodeProblem.of(fault, "values" if fault.code == "batch-mismatch" else "width")


@node(category="latent", check=_check_made)
def MakeLatent(
    values: list[float],
    *,
    channels: Annotated[int, Range(1, 1024)] = 4,
    width: Annotated[int, Range(1, 2**30)] = 8,
    height: Annotated[int, Range(1, 2**30)] = 8,
    factor: Annotated[int, Range(1, 64)] = 8,
    context: Context = INJECTED,
) -> Latent[Any]:
    """Latents from numbers, to try a formula on, or to fill a plane with one colour.

    Args:
        values: one for each element, channel by channel and row by row; or one for each channel; or one for all.
        channels: 4 for Stable Diffusion and SDXL, 16 for SD 3, FLUX.1, Z-Image and Qwen-Image.
        width: in pixels.
        height: in pixels.
        factor: pixels to an element along each side: 8 for most models, 1 for models of pixels.
    """
    import torch

    check_pixels(width, height, 1, context.limits)
    shape = _shape(values, channels, width, height, factor)
    given = torch.tensor(values, dtype=torch.float32)
    whole = given.numel() == torch.Size(shape).numel()
    samples = given.reshape(shape) if whole else given.reshape(1, -1, 1, 1).expand(shape).contiguous()
    return Latent(width, height, 1, samples)


def _shape(values: list[float], channels: int, width: int, height: int, factor: int) -> tuple[int, int, int, int]:
    """The shape of the samples.

    Raises:
        InputError: where there are not as many values as elements, as channels, or one.
    """
    high, wide = elements("height", height, factor), elements("width", width, factor)
    if len(values) not in (1, channels, channels * high * wide):
        raise InputError(
            f"there are {len(values)} values for {channels} channels of {high} x {wide} elements",
            f"give {channels * high * wide} values, one for each channel, or one",
            "batch-mismatch",
        )
    return 1, channels, high, wide


@node(category="latent", fits=have_samples)
def LatentValues(latent: Latent[Any]) -> list[float]:
    """The numbers of small latents, item by item, channel by channel and row by row.

    Args:
        latent: latents of at most 4096 elements.
    """
    samples = samples_of(latent)
    if samples.numel() > _MOST_VALUES:
        raise InputError(
            f"the latents have {samples.numel():,} elements, and at most {_MOST_VALUES:,} are listed",
            "cut out a part (CropLatent, TakeLatents)",
            "out-of-range",
        )
    return [float(one) for one in samples.flatten().tolist()]


_MOST_VALUES = 4096
