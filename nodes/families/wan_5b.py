"""The 5 billion model of Wan 2.2: clips from text or from a picture to begin with, over latents of 16 x 16 x 4 pixels.

Its transformer is that of Wan's other models. It sees the latents of a given picture in place of the first latent
frame, whose tokens have the timestep 0 (https://github.com/Wan-Video/Wan2.2).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from weft.nodes.families.family import Family
from weft.nodes.families.flows import PATCH
from weft.nodes.families.wan import PRECISIONS, SCHEDULER, TEXTS, WanDenoiser, WanFormat
from weft.nodes.models.clip_pictures import FIRST_FRAMES, EncodedPictures, PictureReading, one_first_frame
from weft.nodes.models.denoiser import Conditions, Residuals
from weft.nodes.models.latent_preview import false_colours
from weft.nodes.models.vae_formats import VAESpec
from weft.nodes.prompting.prompt_encoder import OneTextModel

if TYPE_CHECKING:
    from torch import Tensor

    from weft.nodes.models.autoencoder import Autoencoder

CHANNELS = 48
"""Of latents."""


class Wan5BDenoiser(WanDenoiser):
    """The transformer, which takes a timestep for each token."""

    @classmethod
    def reads_pictures(cls, config: Mapping[str, Any]) -> PictureReading | None:
        return PictureReading()

    @classmethod
    def encoded_pictures(
        cls, autoencoder: Autoencoder, first: Tensor, last: Tensor | None, frames: int
    ) -> EncodedPictures:
        return one_first_frame(autoencoder, first, last)

    def predict(
        self, sample: Tensor, timestep: Tensor, conditions: Conditions, residuals: Residuals | None = None
    ) -> Tensor:
        import torch

        given = dict(conditions)
        first = given.pop(FIRST_FRAMES, None)
        if first is None:
            return super().predict(sample, timestep, given, residuals)
        seen = torch.cat([first, sample[:, :, first.shape[2] :]], dim=2)
        tokens = (seen.shape[2], seen.shape[3] // PATCH, seen.shape[4] // PATCH)
        times = timestep.expand(len(seen), *tokens).clone()
        times[:, : first.shape[2]] = 0
        prediction: Tensor = self.network(seen, timestep=times.flatten(1), **given, return_dict=False)[0]
        return prediction


WAN_5B = Family(
    name="Wan5B",
    network=WanFormat(CHANNELS),
    denoiser=Wan5BDenoiser,
    prompts=OneTextModel,
    latent_rgb_factors=false_colours(CHANNELS),
    precisions=PRECISIONS,
    texts=TEXTS,
    vae=VAESpec(CHANNELS, "AutoencoderKLWan", factor=16),
    scheduler={**SCHEDULER, "flow_shift": 5.0},
)
