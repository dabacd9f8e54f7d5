"""Latents: EmptyLatent, VAEEncode and VAEDecode."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from weft.engine import (
    ADDED_LATER,
    INJECTED,
    Context,
    InputError,
    Limits,
    NodeProblem,
    Range,
    Upstream,
    Work,
    check_pixels,
    node,
)
from weft.nodes.models.autoencoder import Autoencoder, ExactTiling, Tiling
from weft.nodes.models.sliced_attention import spared
from weft.nodes.sampling.size_checks import check_sides, image_fits_vae
from weft.nodes.sampling.traits import LatentTraits
from weft.nodes.sampling.workloads import decoding_work, encoding_work
from weft.nodes.sizes import SizeTraits, literal_size, same_size, size_of
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


def _batch_size(node: Upstream, _: int) -> int:
    return int(node.literals.get("batch_size", 1))


_SIZE = SizeTraits(literal_size, batch=_batch_size)


@node(category="latent", lane="cpu", check=_check_size, traits=(LatentTraits(empty=True), _SIZE))
def EmptyLatent(width: Side = 512, height: Side = 512, batch_size: Annotated[int, Range(1, 2**30)] = 1) -> Latent[Any]:
    """Latents of a size without samples, to start from noise.

    Models paint best at the size that they were trained on, and lose the whole at others: things appear twice above it,
    parts are missing below it. It is 128 x 128 for `builtin:landscapes`, 512 x 512 for SD 1, 512 or 768 for SD 2, and
    1024 x 1024 for SDXL, SD 3, FLUX and Z-Image; other proportions of about as many pixels are fine.

    Args:
        width: in pixels; begin with the side that the model was trained on.
        height: in pixels.
        batch_size: how many pictures.
    """
    return Latent(width, height, batch_size)


Tile = Annotated[int, Range(0, 4096, step=64)]
"""The side of the pieces in which a VAE goes over a picture, in pixels."""

Precision = Literal["auto", "float32"]
"""In which precision a VAE runs: that in which it was loaded, or float32."""


@node(
    category="latent", lane="gpu", fits=image_fits_vae, traits=(SizeTraits(same_size, of="image"), Work(encoding_work))
)
def VAEEncode(
    vae: VAE[F],
    image: Image,
    *,
    tile: Annotated[Tile, ADDED_LATER] = 0,
    precision: Annotated[Precision, ADDED_LATER] = "auto",
    sample: Annotated[bool, ADDED_LATER] = False,
    context: Context = INJECTED,
) -> Latent[F]:
    """Encode a picture into latents, to start sampling from it; takes the mean of the VAE's distribution.

    Args:
        vae: from LoadCheckpoint.
        image: the picture; its sides must be multiples of the VAE's factor (8). Alpha is left out, but for the VAE of
            Qwen-Image-Layered.
        tile: encode in pieces, for large pictures, as VAEDecode decodes them. 0 encodes each picture whole.
        precision: as for VAEDecode.
        sample: whether samplers draw the latents from the VAE's distribution, before the noise and by the same
            generators, as diffusers' pipelines do with pictures. With one seed a picture is then that of the pipeline;
            the mean keeps a little more of the picture given. What is decoded is the mean in both cases.
    """
    import torch

    batch, height, width, _ = image.pixels.shape
    with autoencoder_of(_in_precision(vae, precision), tile, context) as autoencoder:
        check_multiple(image, autoencoder.factor)
        items = [autoencoder.distribution(autoencoder.taken(picture[None])) for picture in image.pixels]
    deviations = [one.deviation for one in items if sample and one.deviation is not None]
    deviation = torch.cat(deviations) if deviations else None
    return Latent(width, height, batch, torch.cat([one.mean for one in items]), deviation=deviation)


@node(category="latent", version=2, lane="gpu", traits=(SizeTraits(same_size, of="latent"), Work(decoding_work)))
def VAEDecode(
    vae: VAE[F],
    latent: Latent[F],
    *,
    tile: Tile = 0,
    precision: Annotated[Precision, ADDED_LATER] = "auto",
    context: Context = INJECTED,
) -> Image:
    """Decode latents into pixels, one item at a time; the frames of clips become pictures one after the other.

    Args:
        vae: from LoadCheckpoint.
        latent: from KSampler or VAEEncode.
        tile: decode in pieces of about this side, in pixels, with less memory for large pictures: at 2048 x 2048
            pixels a tile of 512 needs less than a third, and half again as much time. The picture is the same: what
            normalises it is measured over the whole of it, or each place by itself (Qwen-Image, Wan 2.1). Clips of
            several frames, and the VAE of Wan 2.2, are decoded in overlapping tiles, which are blended, of 256 pixels
            at least, since colours move in smaller ones. 0 decodes each picture whole.
        precision: `auto` is that in which the VAE was loaded; `float32` avoids overflow (black pictures) and banding,
            and takes twice the memory of half precision.
    """
    import torch

    if latent.samples is None:
        raise InputError(
            "the latent is only a size, with nothing in it to decode", "sample it first, with KSampler", "empty-latent"
        )
    vae = _in_precision(vae, precision)
    with autoencoder_of(vae, tile, context) as autoencoder:
        items = []
        for index, item in enumerate(latent.samples):
            pixels = autoencoder.decode(item[None])
            items.append(finite(pixels if latent.frames is None else pixels[0], vae.dtype))
            context.progress(index + 1, latent.batch_size)
    return Image(torch.cat(items))


SPARE_TILE = 256
"""The side of tiles where a node ran out of memory, in pixels."""


@contextmanager
def autoencoder_of(vae: VAE[Any], tile: int, context: Context) -> Iterator[Autoencoder]:
    """A VAE's network while the block runs, which computes in tiles and slices where that is wanted."""
    with context.weights(vae, Autoencoder, patches=tiling(tile, context)) as autoencoder, spared(context):
        yield autoencoder


def tiling(tile: int, context: Context) -> tuple[Tiling | ExactTiling, ...]:
    """In tiles where the user wants them, or where memory was short and the result is the same."""
    if tile:
        return (Tiling(tile),)
    return (ExactTiling(SPARE_TILE),) if context.saves("tiles") else ()


def _in_precision(vae: VAE[F], precision: Precision) -> VAE[F]:
    return vae if precision == "auto" else replace(vae, dtype=precision)


def finite(pixels: Tensor, precision: str) -> Tensor:
    """The pixels; raises `InputError` where they overflowed the precision of the VAE."""
    if not pixels.isfinite().all():
        raise InputError(
            f"the decoded picture is not finite in {precision}", "set `precision` to float32", "not-finite"
        )
    return pixels


def check_multiple(image: Image, factor: int) -> None:
    """Raise `InputError` where a picture's sides are not multiples of a VAE's factor."""
    check_sides(size_of(image.pixels), factor)
