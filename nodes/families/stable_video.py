"""Stable Video Diffusion: clips from a picture alone (https://arxiv.org/abs/2311.15127).

A UNet with layers over frames reads the vector of the picture by cross-attention, its latents next to each frame's own,
and numbers for rate, motion and noise. It predicts v, over timesteps that are logarithms of noise levels (EDM's).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from weft.engine import InputError
from weft.nodes.families.class_labels import NoPrompts
from weft.nodes.families.family import Family
from weft.nodes.families.unets import RGB_FACTORS
from weft.nodes.models.clip_pictures import CLIP_NUMBERS, HINT, PICTURE_TOKENS, PictureReading
from weft.nodes.models.denoiser import EXTRA_CHANNELS, Conditions, Denoiser, Residuals
from weft.nodes.models.denoiser_facts import ClipLimits
from weft.nodes.models.network_format import NetworkFormat
from weft.nodes.models.parametrisation import SchedulerConfig
from weft.nodes.models.part_precisions import IN_FLOAT16, all_parts
from weft.nodes.models.vae_formats import VAESpec

if TYPE_CHECKING:
    from torch import Tensor

    from weft.nodes.values import Latent, Prompt

CHANNELS = 4
"""Of latents, and of those of the picture."""


class StableVideoDenoiser(Denoiser):
    """The UNet over space and time."""

    clips = ClipLimits(by_frame=True)
    perturbable = False

    @property
    def prompt_width(self) -> int:
        return 0

    @property
    def extra_channels(self) -> int:
        return CHANNELS

    @classmethod
    def reads_pictures(cls, config: Mapping[str, Any]) -> PictureReading | None:
        return PictureReading(token_width=int(config["cross_attention_dim"]), sets_in_motion=True)

    def conditions(self, prompt: Prompt[Any], latent: Latent[Any], negative: bool) -> Conditions:
        return {}

    def predict(
        self, sample: Tensor, timestep: Tensor, conditions: Conditions, residuals: Residuals | None = None
    ) -> Tensor:
        import torch

        if CLIP_NUMBERS not in conditions:
            raise InputError("the model needs a picture to set in motion", HINT, "wrong-guide")
        seen = torch.cat([sample, conditions[EXTRA_CHANNELS]], dim=1)
        prediction: Tensor = self.network(
            seen.transpose(1, 2),
            timestep,
            encoder_hidden_states=conditions[PICTURE_TOKENS],
            added_time_ids=conditions[CLIP_NUMBERS],
            return_dict=False,
        )[0]
        return prediction.transpose(1, 2)


class StableVideoFormat(NetworkFormat):
    """The UNet, from a folder."""

    class_name = "UNetSpatioTemporalConditionModel"
    folder = "unet"

    def fits(self, config: Mapping[str, Any]) -> bool:
        return isinstance(config.get("cross_attention_dim"), int)

    def latent_channels(self, config: Mapping[str, Any]) -> int:
        return int(config.get("out_channels", CHANNELS))

    def extra_channels(self, config: Mapping[str, Any]) -> int:
        return int(config.get("in_channels", 8)) - self.latent_channels(config)


def restated(scheduler: SchedulerConfig) -> SchedulerConfig:
    """The configuration of the scheduler with the deviation of the data, by which EDM's samplers follow it."""
    return {**scheduler, "sigma_data": 1.0}


STABLE_VIDEO = Family(
    name="SVD",
    network=StableVideoFormat(),
    denoiser=StableVideoDenoiser,
    prompts=NoPrompts,
    latent_rgb_factors=RGB_FACTORS,
    precisions=all_parts(IN_FLOAT16, "stabilityai/stable-video-diffusion-img2vid"),
    vae=VAESpec(CHANNELS, "AutoencoderKLTemporalDecoder", upcasts=True),
    restated=restated,
    scheduler={
        "_class_name": "EulerDiscreteScheduler",
        "num_train_timesteps": 1000,
        "beta_schedule": "scaled_linear",
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "prediction_type": "v_prediction",
        "timestep_type": "continuous",
        "timestep_spacing": "leading",
        "use_karras_sigmas": True,
        "sigma_min": 0.002,
        "sigma_max": 700.0,
    },
)
