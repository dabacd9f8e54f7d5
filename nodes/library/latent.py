"""Latents: EmptyLatent, VAEEncode and VAEDecode."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

from weft.engine import INJECTED, Context, InputError, Limits, NodeProblem, Range, check_pixels, node
from weft.nodes.models.autoencoder import Autoencoder, Tiling
from weft.nodes.sampling.traits import LatentTraits
from weft.nodes.values import VAE, F, Image, Latent

if TYPE_CHECKING:
    from torch import Tensor


def _check_size(inputs: Mapping[str, Any], limits: Limits) -> Iterable[NodeProblem]:
    """The size must be within the engine's limits."""
    try:
        check_pixels(inputs.get("width", 1), inputs.get("height", 1), inputs.get("batch_size", 1), limits)
    except InputError as fault:
        yield NodeProblem.of(fault, "batch_size" if fault.code == "batch-too-large" else "width")


Side = Annotated[int, Range(8, 2**30, step=8)]
"""Pixels along a side, a multiple of 8: the VAE factor of most families."""


@node(category="latent", lane="cpu", check=_check_size, traits=(LatentTraits(empty=True),))
def EmptyLatent(width: Side = 512, height: Side = 512, batch_size: Annotated[int, Range(1, 2**30)] = 1) -> Latent[Any]:
    """Latents of a size without samples, to start from noise.

    Args:
        width: in pixels.
        height: in pixels.
        batch_size: how many pictures.
    """
    return Latent(width, height, batch_size)


@node(category="latent", lane="gpu")
def VAEEncode(vae: VAE[F], image: Image, *, context: Context = INJECTED) -> Latent[F]:
    """Encode a picture into latents, to start sampling from it; takes the mean of the VAE's distribution.

    Args:
        vae: from LoadCheckpoint.
        image: the picture; its sides must be multiples of the VAE's factor (8). Alpha is left out.
    """
    import torch

    batch, height, width, _ = image.pixels.shape
    with context.weights(vae, Autoencoder) as autoencoder:
        check_multiple(image, autoencoder.factor)
        items = [autoencoder.encode(picture[None, ..., :3]) for picture in image.pixels]
    return Latent(width, height, batch, torch.cat(items))


@node(category="latent", lane="gpu")
def VAEDecode(
    vae: VAE[F],
    latent: Latent[F],
    *,
    tile: Annotated[int, Range(0, 4096, step=64)] = 0,
    context: Context = INJECTED,
) -> Image:
    """Decode latents into pixels, one item at a time; the frames of clips become pictures one after the other.

    Args:
        vae: from LoadCheckpoint.
        latent: from KSampler or VAEEncode.
        tile: decode in overlapping tiles of this side, in pixels, and blend them; needs less memory for large pictures,
            and changes pixels slightly. 0 decodes each picture whole.
    """
    import torch

    if latent.samples is None:
        raise InputError(
            "the latent is only a size, with nothing in it to decode", "sample it first, with KSampler", "empty-latent"
        )
    patches = (Tiling(tile),) if tile else ()
    with context.weights(vae, Autoencoder, patches=patches) as autoencoder:
        items = []
        for index, item in enumerate(latent.samples):
            pixels = autoencoder.decode(item[None])
            items.append(_finite(pixels if latent.frames is None else pixels[0], vae.dtype))
            context.progress(index + 1, latent.batch_size)
    return Image(torch.cat(items))


def _finite(pixels: Tensor, precision: str) -> Tensor:
    """The pixels; raises `InputError` where they overflowed the precision of the VAE."""
    if not pixels.isfinite().all():
        raise InputError(
            f"the decoded picture is not finite in {precision}", "run in float32 or bfloat16", "not-finite"
        )
    return pixels


def check_multiple(image: Image, factor: int) -> None:
    """Raise `InputError` where a picture's sides are not multiples of a VAE's factor."""
    _, height, width, _ = image.pixels.shape
    if width % factor or height % factor:
        nearest = f"{max(width // factor, 1) * factor} x {max(height // factor, 1) * factor}"
        raise InputError(
            f"the picture has {width} x {height} pixels, and its sides must be multiples of {factor}",
            f"crop or scale it, to {nearest} for example",
            "wrong-size",
        )
