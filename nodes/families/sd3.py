"""The SD 3 family: Stable Diffusion 3 and 3.5.

Two CLIP models and T5 read a prompt, and T5 may be left out: zeros stand in its place (SD 3,
https://arxiv.org/abs/2403.03206). The transformer predicts the velocity of a flow whose schedule is shifted by 3.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from weft.nodes.families.family import Family
from weft.nodes.families.flows import (
    CLIP_PREFIX,
    T5_PREFIX,
    JointDenoiser,
    JointFormat,
    flow_widths,
    size_shift,
    unpredicted_channels,
)
from weft.nodes.families.sd3_controls import SD3ControlNetFormat
from weft.nodes.models.denoiser_facts import ImageLayer, SizeLimits
from weft.nodes.models.facts import PromptWidths
from weft.nodes.models.latent_preview import LatentRGBFactors
from weft.nodes.models.original_modules import SD3_MODULES, OriginalModules, numbered
from weft.nodes.models.part_precisions import IN_BFLOAT16, IN_EITHER, PartPrecisions
from weft.nodes.models.single_file_transformers import SD3_LAYOUTS
from weft.nodes.models.vae_formats import VAESpec
from weft.nodes.prompting.clip import Clip
from weft.nodes.prompting.prompt_encoder import PromptEncoder
from weft.nodes.prompting.prompts import Reading
from weft.nodes.prompting.t5 import T5
from weft.nodes.prompting.text_reader import Encoded

if TYPE_CHECKING:
    from weft.nodes.values import Latent

LARGE_CLIP = "text_encoders.clip_g.transformer."

T5_TOKENS = 256
"""Tokens of T5's that the transformer reads, or zeros."""

RGB_FACTORS = LatentRGBFactors(
    (
        (-0.0262, 0.01625, 0.03745),
        (-0.02905, 0.0038, 0.02865),
        (0.0807, 0.00635, -0.01885),
        (0.0721, 0.0423, 0.0797),
        (0.02445, 0.0028, -0.03345),
        (0.02595, 0.0961, 0.0313),
        (0.07695, 0.0241, 0.0355),
        (-0.043, 0.04505, 0.05445),
        (-0.062, -0.03385, 0.0017),
        (-0.022, 0.03915, 0.0113),
        (0.0155, 0.0319, 0.03875),
        (-0.0066, 0.04275, -0.04385),
        (0.0323, 0.02955, 0.0663),
        (-0.0393, -0.0113, -0.0638),
        (-0.0496, -0.04005, -0.0313),
        (-0.01695, -0.0402, -0.0304),
    ),
    published="taesd3",
)
"""What latents look like: the factors that the InvokeAI team fitted to version 3.5 (2024), for 0..1."""

BLOCKS = "joint_blocks.0.x_block.attn.qkv.weight"


class SD3Prompts(PromptEncoder):
    """CLIP's hidden states before the last, joined by channel and padded to T5's width, then T5's tokens or zeros.

    The pooled vector is both of CLIP's projections.
    """

    fills_length = True

    @classmethod
    def widths(cls, channels: Mapping[str, int]) -> PromptWidths:
        """Prompts are as wide as T5, which may be left out."""
        return flow_widths(channels)

    @classmethod
    def pooled_width(cls, channels: Mapping[str, int]) -> int:
        return flow_widths(channels).vector

    def combined(self, texts: Sequence[str], reading: Reading) -> Encoded:
        import torch

        first, second, *third = self.read(texts, reading, layer=-2)
        clip = torch.cat([first.embeddings, second.embeddings], dim=-1)
        clip = torch.nn.functional.pad(clip, (0, self.config["width"] - clip.shape[-1]))
        t5 = third[0].embeddings if third else clip.new_zeros(len(texts), reading.longest or T5_TOKENS, clip.shape[-1])
        pooled = [one.pooled for one in (first, second) if one.pooled is not None]
        return Encoded(torch.cat([clip, t5], dim=1), pooled=torch.cat(pooled, dim=-1))


class SD3Denoiser(JointDenoiser):
    """SD 3's transformer, which reads patches and has a table of their positions."""

    fuses_projections = True

    repeated_blocks = ("JointTransformerBlock",)

    @classmethod
    def original_modules(cls, modules: Collection[str]) -> OriginalModules:
        return numbered(SD3_MODULES, modules)

    @classmethod
    def image_layers(cls, config: Mapping[str, Any]) -> tuple[ImageLayer, ...]:
        """The joint attention of each block, and the second one that some blocks of SD 3.5 medium have."""
        channels = config.get("num_attention_heads", 18) * config.get("attention_head_dim", 64)
        dual = config.get("dual_attention_layers") or ()
        return tuple(
            ImageLayer(f"transformer_blocks.{block}.{name}", channels, channels, timed=True)
            for block in range(config.get("num_layers", 18))
            for name in (("attn", "attn2") if block in dual else ("attn",))
        )

    def image_processor(self, inner: Any, number: int) -> Any:
        from weft.nodes.models.timed_image_attention import JointAttentionWithTimedImages

        return JointAttentionWithTimedImages(inner, number)

    @classmethod
    def size_limits(cls, config: Mapping[str, Any]) -> SizeLimits:
        patch = int(config.get("patch_size", 2))
        return SizeLimits(patch, patch * int(config.get("pos_embed_max_size", 96) or 0))

    def timing(self, steps: int, latent: Latent[Any]) -> Mapping[str, Any]:
        """Its patches may be of any size. FlowMatch classes have 1.15 as `max_shift`; diffusers' pipeline takes 1.16
        for others.
        """
        own = str(self.scheduler.get("_class_name")).startswith("FlowMatch")
        return size_shift(self, latent, self.network.config.patch_size, 1.15 if own else 1.16)


class SD3Format(JointFormat):
    """SD 3's transformer."""

    class_name = "SD3Transformer2DModel"
    layouts = SD3_LAYOUTS

    def unsupported(self, config: Mapping[str, Any]) -> str:
        return unpredicted_channels(config)


SD3 = Family(
    name="SD3",
    native_side=1024,
    network=SD3Format(),
    denoiser=SD3Denoiser,
    prompts=SD3Prompts,
    latent_rgb_factors=RGB_FACTORS,
    precisions=PartPrecisions(IN_EITHER, IN_BFLOAT16, IN_BFLOAT16, "stabilityai/stable-diffusion-3.5-large"),
    texts=(
        Clip("clip_l", "text_encoder", (CLIP_PREFIX,), projects=True, identity_projection=True),
        Clip("clip_g", "text_encoder_2", (LARGE_CLIP,), projects=True, activation="gelu", padding="!"),
        T5("t5xxl", "text_encoder_3", (T5_PREFIX,), optional=True, length=T5_TOKENS),
    ),
    vae=VAESpec(16, config={"scaling_factor": 1.5305, "shift_factor": 0.0609}),
    scheduler={"_class_name": "FlowMatchEulerDiscreteScheduler", "num_train_timesteps": 1000, "shift": 3.0},
    controls=(SD3ControlNetFormat(),),
)
