"""The DDPM family: unconditional models of pixels (https://arxiv.org/abs/2006.11239)."""

from __future__ import annotations

from weft.nodes.families.class_labels import NoPrompts
from weft.nodes.families.family import Family
from weft.nodes.families.pixels import RGB_FACTORS, PixelDenoiser, PixelFormat
from weft.nodes.models.contents import Contents
from weft.nodes.models.parametrisation import Consistency
from weft.nodes.models.part_precisions import IN_FLOAT32, all_parts


def is_unconditional(contents: Contents) -> bool:
    """Whether a network knows no classes, samples pixels (not latents of a `vqvae`), and is no consistency model."""
    classes = contents.configs["unet"].get("num_class_embeds")
    pixels = not contents.has("vqvae")
    return classes is None and pixels and Consistency.of(contents.configs["scheduler"]) is None


DDPM = Family(
    name="DDPM",
    network=PixelFormat(),
    denoiser=PixelDenoiser,
    prompts=NoPrompts,
    latent_rgb_factors=RGB_FACTORS,
    precisions=all_parts(IN_FLOAT32, "google/ddpm-cat-256"),
    condition=is_unconditional,
)
