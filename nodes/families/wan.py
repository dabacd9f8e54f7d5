"""The Wan family: clips from text (Wan 2.1; arXiv:2503.20314).

UMT5 reads a prompt. The transformer attends to patches of latents over space and time, and to the prompt by
cross-attention; it predicts the velocity. A latent frame stands for four frames, but for the first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from weft.nodes.families.family import Family
from weft.nodes.families.flows import PATCH, FlowDenoiser, unpredicted_channels
from weft.nodes.families.qwen_image import RGB_FACTORS
from weft.nodes.models.denoiser_facts import ClipLimits, SizeLimits
from weft.nodes.models.facts import PromptWidths
from weft.nodes.models.network_format import NetworkFormat
from weft.nodes.models.part_precisions import IN_BFLOAT16, IN_FLOAT32, PartPrecisions
from weft.nodes.models.vae_formats import VAESpec
from weft.nodes.prompting.prompt_encoder import OneTextModel
from weft.nodes.prompting.umt5 import UMT5

LENGTH = 226
"""Tokens that a prompt is padded to, as in diffusers' pipeline."""


class WanDenoiser(FlowDenoiser):
    """Wan's transformer."""

    clips = ClipLimits(step=4)
    perturbable = False
    dispatches_attention = skips_blocks = True
    repeated_blocks = ("WanTransformerBlock",)

    @classmethod
    def size_limits(cls, config: Mapping[str, Any]) -> SizeLimits:
        return SizeLimits(PATCH)

    @property
    def prompt_width(self) -> int:
        return int(self.network.config.text_dim)


class WanFormat(NetworkFormat):
    """Wan's transformer, from a folder."""

    class_name = "WanTransformer3DModel"

    def fits(self, config: Mapping[str, Any]) -> bool:
        return True

    def unsupported(self, config: Mapping[str, Any]) -> str:
        return "a picture to begin from" if config.get("image_dim") else unpredicted_channels(config)

    def prompt_widths(self, config: Mapping[str, Any]) -> PromptWidths:
        return PromptWidths(config.get("text_dim", 4096))

    def latent_channels(self, config: Mapping[str, Any]) -> int:
        return int(config.get("in_channels", 16))


WAN = Family(
    name="Wan",
    network=WanFormat(),
    denoiser=WanDenoiser,
    prompts=OneTextModel,
    latent_rgb_factors=RGB_FACTORS,
    precisions=PartPrecisions(IN_BFLOAT16, IN_BFLOAT16, IN_FLOAT32, "Wan-AI/Wan2.1-T2V-1.3B-Diffusers"),
    texts=(UMT5("umt5_xxl", "text_encoder", (), length=LENGTH),),
    vae=VAESpec(16, "AutoencoderKLWan"),
    scheduler={
        "_class_name": "UniPCMultistepScheduler",
        "num_train_timesteps": 1000,
        "prediction_type": "flow_prediction",
        "use_flow_sigmas": True,
        "flow_shift": 3.0,
    },
)
