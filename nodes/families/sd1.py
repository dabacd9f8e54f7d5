"""The SD 1.x family: Stable Diffusion 1.1 to 1.5, and what was trained from them or like them.

Inpainting and InstructPix2Pix checkpoints are of the family too: their UNets take extra channels with the same latents.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from weft.nodes.families.family import Family
from weft.nodes.families.t2i_adapters import FULL, LIGHT, T2IAdapterFormat
from weft.nodes.families.unet_controls import UNetControlNetFormat
from weft.nodes.families.unets import (
    LATENT_CHANNELS,
    RGB_FACTORS,
    SCHEDULER,
    UNetDenoiser,
    UNetFormat,
    scheduler_corrections,
)
from weft.nodes.models import single_file as original
from weft.nodes.models.contents import Contents
from weft.nodes.models.part_precisions import IN_FLOAT16, all_parts
from weft.nodes.models.training_marks import trained_as_marked
from weft.nodes.models.vae_formats import VAESpec
from weft.nodes.prompting.clip import Clip
from weft.nodes.prompting.prompt_encoder import OneTextModel

SD2_WIDTH = 1024
"""The width of the prompts of SD 2.x, which distinguishes it from SD 1.x."""


def is_sd1(config: Mapping[str, Any]) -> bool:
    """Whether a UNet or a ControlNet of this configuration is the family's."""
    return (
        config.get("addition_embed_type") is None
        and not config.get("use_linear_projection")
        and config.get("cross_attention_dim") != SD2_WIDTH
    )


def reads_its_text_model(contents: Contents) -> bool:
    """Whether the UNet of a folder reads prompts as wide as its text model's."""
    unet, text = (contents.configs.get(part, {}) for part in ("unet", "text_encoder"))
    return bool(contents.shapes) or unet.get("cross_attention_dim") == text.get("hidden_size")


def eight_heads(widths: Sequence[int]) -> int:
    """Attention heads, as many on each level."""
    return 8


class SD1Denoiser(UNetDenoiser):
    """SD 1's UNet."""

    aligned_steps = "StableDiffusion"


SD1 = Family(
    name="SD1",
    native_side=512,
    network=UNetFormat(is_sd1, eight_heads),
    denoiser=SD1Denoiser,
    prompts=OneTextModel,
    latent_rgb_factors=RGB_FACTORS,
    precisions=all_parts(IN_FLOAT16, "stable-diffusion-v1-5/stable-diffusion-v1-5"),
    texts=(Clip("clip_l", "text_encoder", (original.TEXT, original.OLD_TEXT)),),
    vae=VAESpec(LATENT_CHANNELS, config={"scaling_factor": 0.18215}, shifts=False),
    scheduler=SCHEDULER,
    trained=trained_as_marked,
    controls=(UNetControlNetFormat(is_sd1, eight_heads), T2IAdapterFormat({FULL, LIGHT})),
    condition=reads_its_text_model,
    corrections=scheduler_corrections,
)
