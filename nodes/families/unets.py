"""What the families of latent diffusion by a UNet share: SD 1.x, SD 2.x and SDXL are this with other data.

A checkpoint is a diffusers folder, or one safetensors file in the original layout, which carries no configuration: what
its shapes do not tell is the same for a whole family and stands in the family's file.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from weft.nodes.models.contents import Contents
from weft.nodes.models.cross_attentions import cross_attentions
from weft.nodes.models.denoiser import EXTRA_CHANNELS, MIDDLE_RESIDUAL, Conditions, Denoiser, Residuals
from weft.nodes.models.denoiser_facts import ImageLayer
from weft.nodes.models.facts import NetworkFacts, PromptWidths
from weft.nodes.models.grounding import (
    grounding_arguments,
    grounding_conditions,
    grounds_phrases,
    grounds_pictures,
)
from weft.nodes.models.latent_preview import LatentRGBFactors
from weft.nodes.models.network_format import NetworkFormat
from weft.nodes.models.old_schedulers import NO_CORRECTIONS, SchedulerCorrections, corrections_of
from weft.nodes.models.original_modules import OriginalModules, unet_modules
from weft.nodes.models.single_file_unets import UNET_LAYOUTS
from weft.nodes.models.tensor_layouts import Config, TensorLayout
from weft.nodes.models.unclip import image_vector_width

if TYPE_CHECKING:
    from torch import Tensor

    from weft.nodes.values import Latent, Prompt


LATENT_CHANNELS = 4

MASKED_PICTURE = LATENT_CHANNELS + 1
"""Channels of a mask and the latents of a masked picture."""

SEEN_CHANNELS = (LATENT_CHANNELS, 2 * LATENT_CHANNELS, LATENT_CHANNELS + MASKED_PICTURE)
"""Channels that a UNet sees: latents alone, with a picture's (InstructPix2Pix), with a mask and a picture's."""

UNSUPPORTED: Mapping[str, str] = {
    "class_embed_type": "an embedded class",
    "num_class_embeds": "the number of a class",
    "num_control_type": "the kind of its picture",
    "encoder_hid_dim_type": "prompts or pictures through a projection of its own",
}
"""Entries of a UNet's configuration by which it reads more than a prompt, and what it reads then."""

SCHEDULER: Mapping[str, Any] = {
    "_class_name": "PNDMScheduler",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
    "clip_sample": False,
}
"""The noise schedule that the families were trained with; a single file carries none."""

HEAD = 64
"""Channels of an attention head, in CLIP and in every UNet since SD 2."""

RGB_FACTORS = LatentRGBFactors(
    ((0.149, 0.1035, 0.104), (0.0935, 0.143, 0.0865), (-0.079, 0.0945, 0.132), (-0.092, -0.1355, -0.2365)),
    published="taesd",
)
"""What latents look like: the factors that Kevin Turner fitted to version 1.4 (Hugging Face forum, 2022), for 0..1."""


def scheduler_corrections(contents: Contents, network: NetworkFacts) -> SchedulerCorrections:
    """What diffusers' pipelines of Stable Diffusion correct in the configuration of a folder's scheduler.

    Those of InstructPix2Pix and of latent consistency models correct nothing.
    """
    config, extra = contents.configs.get("scheduler"), network.config["in_channels"] - LATENT_CHANNELS
    latent_consistency = str(contents.index.get("_class_name", "")).startswith("LatentConsistency")
    if config is None or extra not in (0, MASKED_PICTURE) or latent_consistency:
        return NO_CORRECTIONS
    return corrections_of(config, inpainting=extra == MASKED_PICTURE)


class UNetDenoiser(Denoiser):
    """A UNet that reads a prompt by cross-attention, and perhaps a mask and a picture besides its latents."""

    has_cross_attention = True

    has_skips = True

    fuses_projections = True

    repeated_blocks = ("BasicTransformerBlock",)

    @classmethod
    def original_modules(cls, modules: Collection[str]) -> OriginalModules:
        return unet_modules(modules)

    @property
    def extra_channels(self) -> int:
        return int(self.network.config.in_channels) - self.latent_channels

    @classmethod
    def distilled(cls, config: Mapping[str, Any]) -> bool:
        return config.get("time_cond_proj_dim") is not None

    @classmethod
    def image_layers(cls, config: Mapping[str, Any]) -> tuple[ImageLayer, ...]:
        return tuple(cross_attentions(config))

    @classmethod
    def image_vector_width(cls, config: Mapping[str, Any]) -> int:
        return image_vector_width(config)

    @classmethod
    def grounds(cls, config: Mapping[str, Any]) -> bool:
        return grounds_phrases(config)

    @classmethod
    def grounds_pictures(cls, config: Mapping[str, Any]) -> bool:
        return grounds_pictures(config)

    def conditions(self, prompt: Prompt[Any], latent: Latent[Any], negative: bool) -> Conditions:
        vector = {} if prompt.image_vector is None else {"class_labels": prompt.image_vector}
        return {**super().conditions(prompt, latent, negative), **vector, **grounding_conditions(prompt.grounding)}

    def arguments(self, conditions: Conditions) -> dict[str, Any]:
        return grounding_arguments(conditions, self.network.config)

    def image_processor(self, inner: Any, number: int) -> Any:
        from weft.nodes.models.image_attention import CrossAttentionWithImages

        return CrossAttentionWithImages(inner, number)

    def guidance_conditions(self, scale: float) -> Conditions | None:
        """The embedded scale, for latent consistency models."""
        channels = self.network.config.time_cond_proj_dim
        return {"timestep_cond": embedded_scale(scale, channels)} if channels is not None else None

    def predict(
        self, sample: Tensor, timestep: Tensor, conditions: Conditions, residuals: Residuals | None = None
    ) -> Tensor:
        import torch

        given = dict(conditions)
        extra = given.pop(EXTRA_CHANNELS, None)
        # The network takes what is for its levels off the list.
        added: dict[str, Any] = {name: [*tensors] for name, tensors in (residuals or {}).items()}
        if MIDDLE_RESIDUAL in added:
            (added[MIDDLE_RESIDUAL],) = added[MIDDLE_RESIDUAL]
        prediction: Tensor = self.network(
            sample if extra is None else torch.cat([sample, extra], dim=1),
            timestep,
            **self.arguments(given),
            **added,
            return_dict=False,
        )[0]
        return prediction


class UNetFormat(NetworkFormat):
    """UNets over the latents of a VAE.

    Args:
        is_family: whether a configuration is the family's.
        heads: attention heads on each level, from their widths.
    """

    class_name = "UNet2DConditionModel"
    folder = "unet"
    layouts: ClassVar[tuple[TensorLayout, ...]] = UNET_LAYOUTS

    def __init__(self, is_family: Callable[[Mapping[str, Any]], bool], heads: Callable[[Sequence[int]], Any]) -> None:
        self.is_family = is_family
        self.heads = heads

    def fits(self, config: Mapping[str, Any]) -> bool:
        return config.get("in_channels") in SEEN_CHANNELS and self.is_family(config)

    def completed(self, config: Config) -> Config:
        """With the heads of attention; diffusers' name for their number is a historical slip."""
        return config | {"attention_head_dim": self.heads(config["block_out_channels"])}

    def unsupported(self, config: Mapping[str, Any]) -> str:
        asked = [name for name in UNSUPPORTED if config.get(name) is not None]
        unclip = image_vector_width(config) and config.get("addition_embed_type") is None
        return next((UNSUPPORTED[name] for name in asked if not (unclip and name == "class_embed_type")), "")

    def latent_channels(self, config: Mapping[str, Any]) -> int:
        return LATENT_CHANNELS

    def extra_channels(self, config: Mapping[str, Any]) -> int:
        return int(config["in_channels"]) - LATENT_CHANNELS

    def prompt_widths(self, config: Mapping[str, Any]) -> PromptWidths:
        return PromptWidths(config.get("cross_attention_dim", 0))


def heads_of_64(widths: Sequence[int]) -> list[int]:
    """Attention heads on each level, each of 64 channels, as in every UNet since SD 2."""
    return [max(1, width // HEAD) for width in widths]


def embedded_scale(scale: float, channels: int) -> Tensor:
    """The scale of guidance embedded `[1, channel]`, for a network that was distilled to take it.

    The sinusoidal embedding of 1000 (scale - 1) of "On Distillation of Guided Diffusion Models" (Meng et al., 2023), as
    latent consistency models are trained with.
    """
    import torch

    half = channels // 2
    frequencies = torch.exp(torch.arange(half) * -(torch.log(torch.tensor(10_000.0, dtype=torch.float32)) / (half - 1)))
    angles = 1000.0 * (scale - 1) * frequencies
    return torch.nn.functional.pad(torch.cat([angles.sin(), angles.cos()]), (0, channels % 2))[None]
