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
    """One picture `[1, height, width, channel]` with its caption, and the picture that a ControlNet reads with it."""

    pixels: Tensor
    caption: str
    control: Tensor | None = None


def _items(pictures: Image | list[Image]) -> list[Tensor]:
    batches = [pictures] if isinstance(pictures, Image) else pictures
    return [pixels[None] for one in batches for pixels in one.pixels]


def captioned(
    pictures: Image | list[Image], captions: str | list[str], controls: Image | list[Image] | None = None
) -> list[CaptionedPicture]:
    """Each picture with its caption.

    Args:
        controls: the pictures that a ControlNet reads with them.

    Raises:
        InputError: where there are none, or not as many captions or controls as pictures.
    """
    items = _items(pictures)
    texts = [captions] * len(items) if isinstance(captions, str) else captions
    if not items:
        raise InputError("there are no pictures to train with", "give at least one", "empty-list")
    if len(texts) != len(items):
        raise InputError(
            f"{len(texts)} captions for {len(items)} pictures", "give one for each, or one for all", "batch-mismatch"
        )
    if controls is None:
        return [CaptionedPicture(one, text) for one, text in zip(items, texts, strict=True)]
    others = _items(controls)
    if [size_of(one) for one in others] != [size_of(one) for one in items]:
        message = f"{len(others)} pictures for the ControlNet and {len(items)} pictures, or their sizes differ"
        raise InputError(message, "give one for each, of its size", "batch-mismatch")
    return [CaptionedPicture(*each) for each in zip(items, texts, others, strict=True)]


def examples_of(
    pictures: Sequence[CaptionedPicture], resolution: int, vae: VAE[Any], denoiser: Denoiser, context: Context
) -> Iterator[Example]:
    """Pictures as latents, each encoded once.

    Args:
        resolution: the side of a square with as many pixels as a picture is to have; 0 keeps its size.
    """
    multiple = denoiser.latent_factor * denoiser.limits.multiple
    with context.weights(vae, Autoencoder) as autoencoder:
        for one in pictures:
            source = size_of(one.pixels)
            size = bucket(source, resolution, multiple)
            box = filled(source, size, "centre")
            pixels = resized(one.pixels[..., :3], size, "lanczos", box)
            encoded = autoencoder.distribution(pixels).each(lambda part: part.clone())
            scale = size.width / (box.right - box.left)
            framing = (source.height, source.width, round(box.top * scale), round(box.left * scale))
            control = None if one.control is None else resized(one.control[..., :3], size, "lanczos", box)
            seen = None if control is None else control.permute(0, 3, 1, 2)
            yield Example(_checked(encoded), Latent(size.width, size.height, 1), one.caption, framing, seen)
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
