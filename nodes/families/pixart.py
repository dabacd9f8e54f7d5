"""The PixArt families: Alpha (https://arxiv.org/abs/2310.00426) and Sigma (https://arxiv.org/abs/2403.04692).

T5 reads a prompt in lower case, which is not cleaned of HTML and addresses first (diffusers' `clean_caption`). The
transformer reads patches of latents, and the prompt by cross-attention; it predicts noise and its variance. Alpha has
the latents of SD 1 and reads the size of pictures of 1024 pixels; Sigma has those of SDXL and reads longer prompts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from weft.nodes.families.family import Family
from weft.nodes.families.sdxl import RGB_FACTORS as SIGMA_FACTORS
from weft.nodes.families.unets import LATENT_CHANNELS, RGB_FACTORS
from weft.nodes.models.denoiser import Conditions, Denoiser, Residuals
from weft.nodes.models.denoiser_facts import SizeLimits
from weft.nodes.models.facts import PromptWidths
from weft.nodes.models.network_format import NetworkFormat
from weft.nodes.models.part_precisions import IN_BFLOAT16, IN_FLOAT16, PartPrecisions
from weft.nodes.models.vae_formats import VAESpec
from weft.nodes.prompting.prompt_encoder import OneTextModel
from weft.nodes.prompting.prompts import Reading
from weft.nodes.prompting.t5 import T5
from weft.nodes.prompting.text_reader import Encoded

if TYPE_CHECKING:
    from torch import Tensor

    from weft.nodes.values import Latent, Prompt

SIZES = ("resolution", "aspect_ratio")
"""What Alpha's networks for pictures of 1024 pixels read of the size of a picture."""


class PixArtPrompts(OneTextModel):
    """T5's tokens of a prompt in lower case, as both were trained."""

    def combined(self, texts: Sequence[str], reading: Reading) -> Encoded:
        return super().combined([text.lower().strip() for text in texts], reading)


class PixArtDenoiser(Denoiser):
    """PixArt's transformer."""

    repeated_blocks = ("BasicTransformerBlock",)

    @classmethod
    def size_limits(cls, config: Mapping[str, Any]) -> SizeLimits:
        return SizeLimits(int(config.get("patch_size", 2)))

    @property
    def prompt_width(self) -> int:
        return int(self.network.config.caption_channels)

    def conditions(self, prompt: Prompt[Any], latent: Latent[Any], negative: bool) -> Conditions:
        import torch

        masked = {} if prompt.attention_mask is None else {"encoder_attention_mask": prompt.attention_mask}
        given: Conditions = {"encoder_hidden_states": prompt.embeddings, **masked}
        if self.network.use_additional_conditions:
            sides = (float(latent.height), float(latent.width)), (latent.height / latent.width,)
            given |= {name: torch.tensor([one]) for name, one in zip(SIZES, sides, strict=True)}
        return given

    def arguments(self, conditions: Conditions) -> dict[str, Any]:
        others = {name: one for name, one in conditions.items() if name not in SIZES}
        return {**others, "added_cond_kwargs": {name: conditions.get(name) for name in SIZES}}

    def predict(
        self, sample: Tensor, timestep: Tensor, conditions: Conditions, residuals: Residuals | None = None
    ) -> Tensor:
        """The noise; its variance, which is predicted in further channels, is left out."""
        return super().predict(sample, timestep, conditions)[:, : self.latent_channels]


class PixArtFormat(NetworkFormat):
    """Sigma's transformer, which reads no size."""

    class_name = "PixArtTransformer2DModel"
    aliases = ("Transformer2DModel",)

    def fits(self, config: Mapping[str, Any]) -> bool:
        return _of_pixart(config) and config.get("use_additional_conditions") is False

    def prompt_widths(self, config: Mapping[str, Any]) -> PromptWidths:
        return PromptWidths(config.get("caption_channels") or 0)


class PixArtAlphaFormat(PixArtFormat):
    """Alpha's transformer, whose configuration leaves it to its size whether it reads that of pictures."""

    def fits(self, config: Mapping[str, Any]) -> bool:
        return _of_pixart(config) and config.get("use_additional_conditions") is not False


def _of_pixart(config: Mapping[str, Any]) -> bool:
    """Whether a transformer is one of PixArt's: older configurations share the name of their class with DiT's."""
    return bool(config.get("norm_type", "ada_norm_single") == "ada_norm_single")


SCHEDULER = {
    "_class_name": "DPMSolverMultistepScheduler",
    "num_train_timesteps": 1000,
    "beta_start": 0.0001,
    "beta_end": 0.02,
    "beta_schedule": "linear",
}


def _precisions(source: str) -> PartPrecisions:
    return PartPrecisions(IN_FLOAT16, IN_BFLOAT16, IN_FLOAT16, source)


PIXART = Family(
    name="PixArt",
    network=PixArtFormat(),
    denoiser=PixArtDenoiser,
    prompts=PixArtPrompts,
    latent_rgb_factors=SIGMA_FACTORS,
    precisions=_precisions("PixArt-alpha/PixArt-Sigma-XL-2-1024-MS"),
    texts=(T5("t5xxl", "text_encoder", (), length=300, longest=300, masked=True),),
    vae=VAESpec(LATENT_CHANNELS, config={"scaling_factor": 0.13025}, shifts=False),
    scheduler=SCHEDULER,
)

PIXART_ALPHA = Family(
    name="PixArtAlpha",
    network=PixArtAlphaFormat(),
    denoiser=PixArtDenoiser,
    prompts=PixArtPrompts,
    latent_rgb_factors=RGB_FACTORS,
    precisions=_precisions("PixArt-alpha/PixArt-XL-2-1024-MS"),
    texts=(T5("t5xxl", "text_encoder", (), length=120, longest=120, masked=True),),
    vae=VAESpec(LATENT_CHANNELS, config={"scaling_factor": 0.18215}, shifts=False),
    scheduler=SCHEDULER,
)
