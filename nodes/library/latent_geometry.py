"""Latents scaled, cropped, rotated, flipped and placed on one another.

Latents are nearly pictures: what is done to their elements is seen in the decoded picture, but for detail, which a
sampler restores (KSampler with `denoise` below 1). Sizes and places are in pixels of the decoded picture.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from weft.engine import INJECTED, Context, InputError, Limits, NodeProblem, Range, check_pixels, node
from weft.nodes.library.latent_parts import elements, have_samples, like, planes, reshaped, samples_of
from weft.nodes.pictures.resampling import ALIASED, AliasedFilter
from weft.nodes.sizes import Size
from weft.nodes.values import F, Latent, Mask

if TYPE_CHECKING:
    from torch import Tensor

Interpolation = Literal["nearest", "bilinear", "bicubic", "area", AliasedFilter]

Pixels = Annotated[int, Range(0, 2**30, step=8)]
"""A place in pixels, a multiple of 8: the VAE factor of most families."""

Length = Annotated[int, Range(8, 2**30, step=8)]
"""Pixels along a side, a multiple of 8."""

UNKNOWN_FACTOR = 8
"""Pixels to an element of latents that are only a size: the VAE factor of most families."""


def _check_scale(inputs: Mapping[str, Any], limits: Limits) -> Iterable[NodeProblem]:
    """Either a size or a factor, within the limits."""
    size = [inputs.get(name) for name in ("width", "height")]
    given = [name for name, one in zip(("width", "height"), size, strict=True) if one is not None]
    if given and inputs.get("factor", 1.0) != 1:
        message = f"`factor` and {' and '.join(f'`{name}`' for name in given)} both set the size"
        yield NodeProblem("factor", message, "give a size, or a factor", "conflicting-inputs")
    try:
        check_pixels(size[0] or 1, size[1] or 1, 1, limits)
    except InputError as fault:
        yield NodeProblem.of(fault, given[0])


@node(category="latent", check=_check_scale)
def ScaleLatent(
    latent: Latent[F],
    *,
    width: Length | None = None,
    height: Length | None = None,
    factor: Annotated[float, Range(0.01, 100.0)] = 1.0,
    method: Interpolation = "bilinear",
    context: Context = INJECTED,
) -> Latent[F]:
    """Scale latents, as torch's `interpolate` does, to sample them again at another size (a hires pass).

    Scaled latents decode into a soft picture. Sample them with `denoise` 0.4 to 0.7: less keeps the softness, more
    paints another picture. A picture that is decoded, scaled and encoded again stays sharper and needs less, 0.2 to
    0.5.

    Args:
        latent: latents, or only a size.
        width: in pixels; with no `height`, that follows the proportions.
        height: in pixels; with no `width`, that follows the proportions.
        factor: of both sides, instead of a size; rounded to whole elements.
        method: how elements between the given ones are found. `bilinear` is smooth; `bicubic` is sharper and goes
            beyond the range of its neighbours; `nearest` keeps each element's values, which leaves noise as strong as
            it is; `area` averages, for smaller sizes. `bilinear_aliased` and `bicubic_aliased` are ComfyUI's of these
            names: without antialiasing where they reduce, and `bicubic` is sharper.
    """
    unit = latent.factor or UNKNOWN_FACTOR
    wide, high = _scaled_size(latent, width, height, factor, unit)
    check_pixels(wide * unit, high * unit, latent.batch_size, context.limits)
    size = Size(wide * unit, high * unit)
    if latent.samples is None:
        return replace(latent, width=size.width, height=size.height)
    return reshaped(
        latent,
        size,
        lambda samples: like(_interpolated(planes(samples), (high, wide), method), samples),
        lambda mask: _interpolated(mask[:, None], (size.height, size.width), "bilinear")[:, 0].clamp(0, 1),
    )


def _scaled_size(
    latent: Latent[Any], width: int | None, height: int | None, factor: float, unit: int
) -> tuple[int, int]:
    """Width and height in elements."""
    if width is None and height is None:
        return max(1, round(latent.width / unit * factor)), max(1, round(latent.height / unit * factor))
    if width is None:
        assert height is not None
        width = max(1, round(latent.width * height / latent.height / unit)) * unit
    if height is None:
        height = max(1, round(latent.height * width / latent.width / unit)) * unit
    return elements("width", width, unit), elements("height", height, unit)


def _interpolated(pictures: Tensor, size: tuple[int, int], method: Interpolation) -> Tensor:
    """Pictures `[picture, channel, height, width]` at another size, height first."""
    import torch

    if method in ALIASED:
        return torch.nn.functional.interpolate(pictures, size, mode=ALIASED[method])
    if method in ("bilinear", "bicubic"):
        return torch.nn.functional.interpolate(pictures, size, mode=method, antialias=True)
    return torch.nn.functional.interpolate(pictures, size, mode="nearest-exact" if method == "nearest" else method)


@node(category="latent", fits=have_samples)
def CropLatent(latent: Latent[F], *, x: Pixels = 0, y: Pixels = 0, width: Length, height: Length) -> Latent[F]:
    """Cut a part out of latents.

    Args:
        latent: latents of a picture or a clip.
        x: the left edge of the part, in pixels; like the others a multiple of the VAE's factor, 8 for most models.
        y: its upper edge.
        width: of the part, in pixels.
        height: of the part, in pixels.
    """
    samples_of(latent)
    unit = latent.factor or 1
    left, top, wide, high = (
        elements(name, one, unit) for name, one in (("x", x), ("y", y), ("width", width), ("height", height))
    )
    if x + width > latent.width or y + height > latent.height:
        raise InputError(
            f"the part reaches to {x + width} x {y + height} pixels of {latent.width} x {latent.height}",
            f"leave at most {max(latent.width - x, 0)} x {max(latent.height - y, 0)} pixels from there",
            "out-of-range",
        )
    return reshaped(
        latent,
        Size(width, height),
        lambda samples: samples[..., top : top + high, left : left + wide].clone(),
        lambda mask: mask[..., y : y + height, x : x + width].clone(),
    )


@node(category="latent", fits=have_samples)
def RotateLatent(latent: Latent[F], *, degrees: Literal["90", "180", "270"] = "90") -> Latent[F]:
    """Rotate latents clockwise by a right angle, or several.

    A VAE is nearly, not exactly, blind to directions: the decoded picture is rotated too, with small errors.

    Args:
        latent: latents of a picture or a clip.
        degrees: clockwise.
    """
    size = Size(latent.width, latent.height) if degrees == "180" else Size(latent.height, latent.width)

    def turned(tensor: Tensor) -> Tensor:
        return tensor.rot90(-int(degrees) // 90, dims=(-2, -1)).contiguous()

    return reshaped(latent, size, turned, turned)


@node(category="latent", fits=have_samples)
def FlipLatent(latent: Latent[F], *, direction: Literal["horizontal", "vertical"] = "horizontal") -> Latent[F]:
    """Mirror latents.

    A VAE is nearly, not exactly, blind to directions: the decoded picture is mirrored too, with small errors.

    Args:
        latent: latents of a picture or a clip.
        direction: `horizontal` exchanges left and right, `vertical` top and bottom.
    """

    def mirrored(tensor: Tensor) -> Tensor:
        return tensor.flip(-1 if direction == "horizontal" else -2)

    return reshaped(latent, Size(latent.width, latent.height), mirrored, mirrored)


@node(category="latent", fits=have_samples)
def CompositeLatents(
    background: Latent[F],
    overlay: Latent[F],
    mask: Mask | None = None,
    *,
    x: Annotated[int, Range(-(2**30), 2**30)] = 0,
    y: Annotated[int, Range(-(2**30), 2**30)] = 0,
    feather: Annotated[int, Range(0, 2**20)] = 0,
) -> Latent[F]:
    """Place latents on others: background x (1 - mask) + overlay x mask, where the overlay lies.

    Args:
        background: what the result has the size of.
        overlay: latents of the same model; a single one is placed on each of a batch.
        mask: 1 where the overlay is seen, of any size, stretched over the overlay; left out, it is seen whole.
        x: where the overlay's left edge lies, in pixels from the background's; below 0 or beyond the right it is cut.
            A multiple of the VAE's factor, 8 for most models.
        y: where its upper edge lies.
        feather: pixels over which the overlay fades in from each of its edges that lies inside of the background; 0 has
            hard edges. 32 to 64 hide the seam after sampling again.
    """
    from weft.nodes.sampling.controlnets import repeated

    below, above = samples_of(background), samples_of(overlay)
    unit = background.factor or 1
    left, top = elements("x", x, unit), elements("y", y, unit)
    if below.shape[1:-2] != above.shape[1:-2] or overlay.factor != unit:
        raise InputError(
            f"the latents have the shapes {list(below.shape)} and {list(above.shape)}",
            "give latents of one model",
            "size-mismatch",
        )
    high, wide = below.shape[-2:]
    rows, columns = _overlap(top, above.shape[-2], high), _overlap(left, above.shape[-1], wide)
    if not rows or not columns:
        message = f"the overlay, placed at {x}, {y}, lies outside of the background"
        raise InputError(message, f"place it within {background.width} x {background.height}", "out-of-range")
    batch = background.batch_size
    given = repeated(above, batch, "the overlay")[..., rows.start - top : rows.stop - top, :]
    given = given[..., columns.start - left : columns.stop - left]
    weight = _coverage(mask, above, batch)
    weight = weight * _fade(top, above.shape[-2], high, feather / unit)[:, None]
    weight = weight * _fade(left, above.shape[-1], wide, feather / unit)
    weight = weight[..., rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    weight = weight if below.ndim == 4 else weight[:, :, None]
    placed = below.clone()
    under = placed[..., rows.start : rows.stop, columns.start : columns.stop]
    under.copy_(under * (1 - weight) + given * weight)
    return replace(background, samples=placed, deviation=None)


def _overlap(start: int, length: int, whole: int) -> range:
    """Where something of a length, placed at `start`, lies within `whole` elements."""
    return range(max(start, 0), min(start + length, whole))


def _coverage(mask: Mask | None, samples: Tensor, batch: int) -> Tensor:
    """A mask over samples, `[batch or 1, 1, height, width]`."""
    import torch

    from weft.nodes.sampling.controlnets import repeated

    if mask is None:
        return torch.ones(1, 1, *samples.shape[-2:], dtype=torch.float32)
    coverage = repeated(mask.coverage, batch, "the mask")[:, None].clamp(0, 1)
    return _interpolated(coverage, (samples.shape[-2], samples.shape[-1]), "bilinear")


def _fade(start: int, length: int, whole: int, feather: float) -> Tensor:
    """Weights `[length]` that rise over `feather` elements from both ends, but from those on the background's edge."""
    import torch

    weights = torch.ones(length, dtype=torch.float32)
    if not feather:
        return weights
    places = torch.arange(length, dtype=torch.float32) + 0.5
    if start > 0:
        weights = weights * (places / feather).clamp(max=1)
    if start + length < whole:
        weights = weights * ((length - places) / feather).clamp(max=1)
    return weights
