"""The Lotus family: maps of pictures, such as their depth or their normals, in one step (He et al., "Lotus:
Diffusion-based Visual Foundation Model for High-quality Dense Prediction", 2024, https://arxiv.org/abs/2409.18124).

Its network is a UNet of SD 2.x that predicts the latents of the map at the last timestep. That of Lotus-D reads the
latents of the picture in place of noise, that of Lotus-G both, and both read what they are to make: a map, or the
picture again (section 4.3, the detail preserver, which only the training uses). Its text model is that of SD 2.x, which
reads the empty prompt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from weft.engine import InputError
from weft.nodes.families.family import Family
from weft.nodes.families.sd2 import SD2, has_switches, is_like_sd2
from weft.nodes.families.unets import LATENT_CHANNELS, SCHEDULER, UNetDenoiser, UNetFormat, heads_of_64
from weft.nodes.models.denoiser import EXTRA_CHANNELS, Conditions, Residuals
from weft.nodes.models.parametrisation import SchedulerConfig
from weft.nodes.models.part_precisions import IN_FLOAT16, all_parts
from weft.nodes.prompting.prompt_encoder import OneTextModel
from weft.nodes.prompting.prompts import Reading
from weft.nodes.prompting.text_reader import Encoded

if TYPE_CHECKING:
    from torch import Tensor

    from weft.nodes.values import Latent, Prompt

LAST_STEP: Mapping[str, Any] = {
    **SCHEDULER,
    "_class_name": "DDIMScheduler",
    "prediction_type": "sample",
    "timestep_spacing": "trailing",
    "set_alpha_to_one": True,
}
"""A run of one step goes from the last timestep of the training to what is predicted there."""


def is_lotus(config: Mapping[str, Any]) -> bool:
    """Whether a UNet of this configuration is the family's."""
    return is_like_sd2(config) and has_switches(config)


def of_one_step(scheduler: SchedulerConfig) -> SchedulerConfig:
    """Whatever a folder says of its scheduler, the authors' code takes one step without it."""
    return LAST_STEP


class LotusDenoiser(UNetDenoiser):
    """Lotus' UNet, whose guide has the latents of the picture next to those that are sampled (`maps_pictures`)."""

    maps_pictures = True

    @property
    def extra_channels(self) -> int:
        return LATENT_CHANNELS

    @classmethod
    def image_vector_width(cls, config: Mapping[str, Any]) -> int:
        """What SD 2.x reads of pictures in unCLIP stands here for the switches."""
        return 0

    def timing(self, steps: int, latent: Latent[Any]) -> Mapping[str, Any]:
        if steps != 1:
            message = f"a model of Lotus makes its map in one step, and the run has {steps}"
            raise InputError(message, "set `steps` to 1", "out-of-range")
        return {}

    def conditions(self, prompt: Prompt[Any], latent: Latent[Any], negative: bool) -> Conditions:
        import torch

        switches = torch.tensor([[1.0, 0.0]])
        return {
            **super().conditions(prompt, latent, negative),
            "class_labels": torch.cat([switches.sin(), switches.cos()], 1),
        }

    def predict(
        self, sample: Tensor, timestep: Tensor, conditions: Conditions, residuals: Residuals | None = None
    ) -> Tensor:
        """The latents of the map; Lotus-D does not see the noise, and Lotus-G sees it after the picture."""
        import torch

        given = dict(conditions)
        picture = given.pop(EXTRA_CHANNELS)
        both = int(self.network.config.in_channels) > LATENT_CHANNELS
        return super().predict(torch.cat([picture, sample], 1) if both else picture, timestep, given, residuals)


class LotusFormat(UNetFormat):
    """UNets of SD 2.x with switches."""

    def fits(self, config: Mapping[str, Any]) -> bool:
        return config.get("in_channels") in (LATENT_CHANNELS, 2 * LATENT_CHANNELS) and is_lotus(config)

    def unsupported(self, config: Mapping[str, Any]) -> str:
        return super().unsupported({**config, "class_embed_type": None})

    def extra_channels(self, config: Mapping[str, Any]) -> int:
        return LATENT_CHANNELS


class UnpaddedPrompt(OneTextModel):
    """The tokens of CLIP's up to the end of the text, 77 at most, without padding, which they do not see."""

    def combined(self, texts: Sequence[str], reading: Reading) -> Encoded:
        (reader,) = self.readers
        encoded = super().combined(texts, reading)
        longest = max(2 + len(reader.split(reading.of(text), self.words)[0]) for text in texts)
        return encoded._replace(embeddings=encoded.embeddings[:, :longest])


LOTUS = Family(
    name="Lotus",
    network=LotusFormat(is_lotus, heads_of_64),
    denoiser=LotusDenoiser,
    prompts=UnpaddedPrompt,
    latent_rgb_factors=SD2.latent_rgb_factors,
    precisions=all_parts(IN_FLOAT16, "jingheya/lotus-depth-d-v1-1"),
    texts=SD2.texts,
    vae=SD2.vae,
    scheduler=LAST_STEP,
    restated=of_one_step,
    native_side=768,
)
