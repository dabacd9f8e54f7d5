"""The SD 2.x family: Stable Diffusion 2.0 and 2.1, with their inpainting models, and SD-Turbo, distilled from 2.1.

Their text encoder is OpenCLIP's ViT-H without its last layer, and the larger ones predict v.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from weft.nodes.families.family import Family
from weft.nodes.families.unet_controls import UNetControlNetFormat
from weft.nodes.families.unets import (
    LATENT_CHANNELS,
    MASKED_PICTURE,
    RGB_FACTORS,
    SCHEDULER,
    UNetDenoiser,
    UNetFormat,
    heads_of_64,
    scheduler_corrections,
)
from weft.nodes.models import single_file as original
from weft.nodes.models.part_precisions import IN_FLOAT16, all_parts
from weft.nodes.models.single_file_unets import SWITCH_NUMBERS
from weft.nodes.models.training_marks import trained_as_marked
from weft.nodes.models.vae_formats import VAESpec
from weft.nodes.prompting.clip import Clip
from weft.nodes.prompting.prompt_encoder import OneTextModel

WIDTH = 1024
"""The width of the prompts that it reads."""


def is_like_sd2(config: Mapping[str, Any]) -> bool:
    """Whether a UNet or a ControlNet of this configuration is the family's, or that of a family trained from it."""
    linear = config.get("use_linear_projection") or config.get("cross_attention_dim") == WIDTH
    return bool(linear) and config.get("addition_embed_type") is None


def has_switches(config: Mapping[str, Any]) -> bool:
    """Whether a UNet of this configuration reads what it is to make: Lotus, which was trained from SD 2.1."""
    embedded = config.get("class_embed_type"), config.get("projection_class_embeddings_input_dim")
    return embedded == ("projection", SWITCH_NUMBERS)


def is_sd2(config: Mapping[str, Any]) -> bool:
    """Whether a UNet or a ControlNet of this configuration is the family's."""
    return is_like_sd2(config) and not has_switches(config)


def inpainting(network: Mapping[str, Any]) -> Mapping[str, Any]:
    """The inpainting model predicts the noise: it was trained from the 512 pixel base model."""
    return {"prediction_type": "epsilon"} if network.get("in_channels") == LATENT_CHANNELS + MASKED_PICTURE else {}


SD2 = Family(
    name="SD2",
    network=UNetFormat(is_sd2, heads_of_64),
    denoiser=UNetDenoiser,
    prompts=OneTextModel,
    latent_rgb_factors=RGB_FACTORS,
    precisions=all_parts(IN_FLOAT16, "stabilityai/stable-diffusion-2-1"),
    texts=(Clip("clip_h", "text_encoder", (original.OPEN_TEXT,), activation="gelu", padding="!", unread=1),),
    vae=VAESpec(LATENT_CHANNELS, config={"scaling_factor": 0.18215}, shifts=False),
    scheduler={**SCHEDULER, "_class_name": "DDIMScheduler", "prediction_type": "v_prediction"},
    trained=trained_as_marked,
    scheduler_changes=inpainting,
    controls=(UNetControlNetFormat(is_sd2, heads_of_64),),
    corrections=scheduler_corrections,
    native_side=768,
)
