"""The Wan family: clips from text, and from a picture to begin with (Wan 2.1 and 2.2; arXiv:2503.20314).

UMT5 reads a prompt. The transformer attends to patches of latents over space and time, and to the prompt by
cross-attention; it predicts the velocity. A latent frame stands for four frames, but for the first. Models for pictures
see, next to the latents, those of a clip that is grey but for the given frames, and a mask of these frames.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from weft.nodes.families.family import Family
from weft.nodes.families.flows import PATCH, FlowDenoiser, unpredicted_channels
from weft.nodes.families.qwen_image import RGB_FACTORS
from weft.nodes.models.clip_pictures import PICTURE_TOKENS, EncodedPictures, PictureReading
from weft.nodes.models.denoiser import EXTRA_CHANNELS, Conditions, Residuals
from weft.nodes.models.denoiser_facts import ClipLimits, SizeLimits
from weft.nodes.models.facts import PromptWidths
from weft.nodes.models.network_format import NetworkFormat
from weft.nodes.models.original_modules import WAN_MODULES, OriginalModules, numbered
from weft.nodes.models.part_precisions import IN_BFLOAT16, IN_FLOAT32, PartPrecisions
from weft.nodes.models.single_file_transformers import WAN_LAYOUTS
from weft.nodes.models.vae_formats import VAESpec
from weft.nodes.prompting.prompt_encoder import OneTextModel
from weft.nodes.prompting.umt5 import UMT5

if TYPE_CHECKING:
    from torch import Tensor

    from weft.nodes.models.autoencoder import Autoencoder

FRAMES = 4
"""Frames to a latent frame, but for the first."""

LENGTH = 226
"""Tokens that a prompt is padded to, as in diffusers' pipeline."""

CHANNELS = 16
"""Of latents."""

PICTURE_CHANNELS = FRAMES + CHANNELS
"""Channels of the mask of given frames, one for each frame of a latent frame, and of the latents of these frames."""


class WanDenoiser(FlowDenoiser):
    """Wan's transformer."""

    clips = ClipLimits(FRAMES)
    perturbable = False
    dispatches_attention = fuses_projections = skips_blocks = True
    repeated_blocks = ("WanTransformerBlock",)

    @classmethod
    def original_modules(cls, modules: Collection[str]) -> OriginalModules:
        return numbered(WAN_MODULES, modules)

    @classmethod
    def size_limits(cls, config: Mapping[str, Any]) -> SizeLimits:
        return SizeLimits(PATCH)

    @property
    def prompt_width(self) -> int:
        return int(self.network.config.text_dim)

    @property
    def extra_channels(self) -> int:
        return int(self.network.config.in_channels) - self.latent_channels

    @classmethod
    def reads_pictures(cls, config: Mapping[str, Any]) -> PictureReading | None:
        """Wan 2.1 reads them by CLIP too; its models for a first and a last picture have places for the tokens of
        both.
        """
        if _extra_channels(config) != PICTURE_CHANNELS:
            return None
        return PictureReading(True, config.get("image_dim") or 0, config.get("pos_embed_seq_len") or 0)

    @classmethod
    def encoded_pictures(
        cls, autoencoder: Autoencoder, first: Tensor, last: Tensor | None, frames: int
    ) -> EncodedPictures:
        import torch

        clip = torch.full((frames, *first.shape), 0.5, dtype=torch.float32)
        mask = torch.zeros(frames, dtype=torch.float32)
        for place, picture in ((0, first), (-1, last)):
            if picture is not None:
                clip[place], mask[place] = picture, 1
        latents = autoencoder.encode(clip[None])
        # The first latent frame is of one frame, which stands for as many as the others.
        marked = torch.cat([mask[:1].repeat(FRAMES), mask[1:]]).view(1, -1, FRAMES, 1, 1).transpose(1, 2)
        return EncodedPictures(torch.cat([marked.expand(-1, -1, -1, *latents.shape[-2:]), latents], dim=1))

    def arguments(self, conditions: Conditions) -> dict[str, Any]:
        given = dict(conditions)
        tokens = given.pop(PICTURE_TOKENS, None)
        if tokens is None:
            return given
        if self.network.config.pos_embed_seq_len:
            # The network joins the rows of a first and a last picture itself.
            tokens = tokens.reshape(2 * len(tokens), -1, tokens.shape[-1])
        return {**given, "encoder_hidden_states_image": tokens}

    def predict(
        self, sample: Tensor, timestep: Tensor, conditions: Conditions, residuals: Residuals | None = None
    ) -> Tensor:
        import torch

        given = dict(conditions)
        extra = given.pop(EXTRA_CHANNELS, None)
        seen = sample if extra is None else torch.cat([sample, extra], dim=1)
        return super().predict(seen, timestep, given, residuals)


class WanFormat(NetworkFormat):
    """Wan's transformers.

    Args:
        channels: of the latents whose velocity they predict.
    """

    class_name = "WanTransformer3DModel"
    layouts = WAN_LAYOUTS

    def __init__(self, channels: int) -> None:
        self.channels = channels

    def fits(self, config: Mapping[str, Any]) -> bool:
        return self.latent_channels(config) == self.channels

    def unsupported(self, config: Mapping[str, Any]) -> str:
        return "" if _extra_channels(config) == PICTURE_CHANNELS else unpredicted_channels(config)

    def prompt_widths(self, config: Mapping[str, Any]) -> PromptWidths:
        return PromptWidths(config.get("text_dim", 4096))

    def latent_channels(self, config: Mapping[str, Any]) -> int:
        return int(config.get("out_channels", CHANNELS))

    def extra_channels(self, config: Mapping[str, Any]) -> int:
        return _extra_channels(config)


def _extra_channels(config: Mapping[str, Any]) -> int:
    """Channels that a transformer reads in addition to its latents."""
    return int(config.get("in_channels", CHANNELS)) - int(config.get("out_channels", CHANNELS))


PRECISIONS = PartPrecisions(IN_BFLOAT16, IN_BFLOAT16, IN_FLOAT32, "Wan-AI/Wan2.1-T2V-1.3B-Diffusers")

TEXTS = (UMT5("umt5_xxl", "text_encoder", (), length=LENGTH),)

SCHEDULER: Mapping[str, Any] = {
    "_class_name": "UniPCMultistepScheduler",
    "num_train_timesteps": 1000,
    "prediction_type": "flow_prediction",
    "use_flow_sigmas": True,
}

WAN = Family(
    name="Wan",
    network=WanFormat(CHANNELS),
    denoiser=WanDenoiser,
    prompts=OneTextModel,
    latent_rgb_factors=RGB_FACTORS,
    precisions=PRECISIONS,
    texts=TEXTS,
    vae=VAESpec(CHANNELS, "AutoencoderKLWan"),
    scheduler={**SCHEDULER, "flow_shift": 3.0},
)
