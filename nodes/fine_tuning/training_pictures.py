"""Pictures with captions as what a training learns from: sizes, latents, prompts. Imports torch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from diffusers import training_utils
from torch import Tensor

from weft.engine import Context, InputError
from weft.nodes.fine_tuning.examples import Example
from weft.nodes.models.autoencoder import Autoencoder, LatentDistribution
from weft.nodes.models.denoiser import Denoiser
from weft.nodes.pictures.fitting import filled
from weft.nodes.pictures.resampling import resized
from weft.nodes.sizes import Size, size_of
from weft.nodes.values import VAE, Image, Latent


@dataclass(frozen=True, eq=False)
class CaptionedPicture:
    """One picture `[1, height, width, channel]` with its caption."""

    pixels: Tensor
    caption: str


def captioned(pictures: Image | list[Image], captions: str | list[str]) -> list[CaptionedPicture]:
    """Each picture with its caption.

    Raises:
        InputError: where there are none, or as many captions as pictures.
    """
    batches = [pictures] if isinstance(pictures, Image) else pictures
    items = [pixels[None] for one in batches for pixels in one.pixels]
    texts = [captions] * len(items) if isinstance(captions, str) else captions
    if not items:
        raise InputError("there are no pictures to train with", "give at least one", "empty-list")
    if len(texts) != len(items):
        raise InputError(
            f"{len(texts)} captions for {len(items)} pictures", "give one for each, or one for all", "batch-mismatch"
        )
    return [CaptionedPicture(one, text) for one, text in zip(items, texts, strict=True)]


def examples_of(
    pictures: Sequence[CaptionedPicture], resolution: int, vae: VAE[Any], denoiser: Denoiser, context: Context
) -> Iterator[Example]:
    """Pictures as latents, each encoded once.

    Args:
        resolution: the side of a square with as many pixels as a picture is to have; 0 keeps its size.
    """
    multiple = denoiser.latent_factor * denoiser.size_limits(denoiser.network.config).multiple
    with context.weights(vae, Autoencoder) as autoencoder:
        for one in pictures:
            source = size_of(one.pixels)
            size = bucket(source, resolution, multiple)
            box = filled(source, size, "centre")
            pixels = resized(one.pixels[..., :3], size, "lanczos", box)
            encoded = autoencoder.distribution(pixels).each(lambda part: part.clone())
            scale = size.width / (box.right - box.left)
            framing = (source.height, source.width, round(box.top * scale), round(box.left * scale))
            yield Example(_checked(encoded), Latent(size.width, size.height, 1), one.caption, framing)
            context.look()


def _checked(latents: LatentDistribution) -> LatentDistribution:
    if not latents.mean.isfinite().all():
        hint = "load the VAE in float32 (`vae_precision` of LoadCheckpoint)"
        raise InputError("the latents of a picture are not finite", hint, "not-finite")
    return latents


def bucket(source: Size, resolution: int, multiple: int) -> Size:
    """The size that a picture is cut to.

    Args:
        resolution: the side of a square of as many pixels; its proportions are the nearest of diffusers' ladder. 0
            keeps the size, but for what is over at the edges.
        multiple: of both sides.
    """
    if not resolution:
        return Size(*(max(side // multiple, 1) * multiple for side in source))
    generate: Any = training_utils.generate_aspect_ratio_buckets
    ladder: list[tuple[int, int]] = generate(resolution, multiple)
    chosen = min(ladder, key=lambda sides: abs(math.log(sides[1] / sides[0] * source.height / source.width)))
    return Size(chosen[1], chosen[0])
