"""The LTX-Video family: clips from text, and from a picture to begin with (arXiv:2501.00103).

T5 reads a prompt. The transformer reads a row of tokens, each of them a latent element of 32 x 32 pixels and 8 frames,
with its place in seconds; it predicts the velocity. The latents of a given picture take the place of the first latent
frame, whose tokens have the timestep 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from weft.engine import InputError
from weft.nodes.families.family import Family
from weft.nodes.families.flows import FlowDenoiser, size_shift
from weft.nodes.models.clip_pictures import FIRST_FRAMES, EncodedPictures, PictureReading, one_first_frame
from weft.nodes.models.denoiser import Conditions, Residuals
from weft.nodes.models.denoiser_facts import ClipLimits
from weft.nodes.models.facts import PromptWidths
from weft.nodes.models.latent_preview import false_colours
from weft.nodes.models.network_format import NetworkFormat
from weft.nodes.models.part_precisions import IN_BFLOAT16, all_parts
from weft.nodes.models.vae_formats import VAESpec
from weft.nodes.prompting.prompt_encoder import OneTextModel
from weft.nodes.prompting.t5 import T5

if TYPE_CHECKING:
    from torch import Tensor

    from weft.nodes.models.autoencoder import Autoencoder
    from weft.nodes.values import Latent, Prompt

CHANNELS, SIDE, FRAMES = 128, 32, 8
"""Channels of latents, pixels to a latent element along each side, and frames to a latent frame."""

RATE = 25.0
"""Frames a second, where a latent says none: the default of diffusers' pipeline."""

MILLI = 1000


class LTXVideoDenoiser(FlowDenoiser):
    """LTX-Video's transformer."""

    clips = ClipLimits(FRAMES)
    spaces_steps = True
    perturbable = False
    dispatches_attention = skips_blocks = True
    repeated_blocks = ("LTXVideoTransformerBlock",)

    @property
    def prompt_width(self) -> int:
        return int(self.network.config.caption_channels)

    @classmethod
    def reads_pictures(cls, config: Mapping[str, Any]) -> PictureReading | None:
        return PictureReading()

    @classmethod
    def encoded_pictures(
        cls, autoencoder: Autoencoder, first: Tensor, last: Tensor | None, frames: int
    ) -> EncodedPictures:
        return one_first_frame(autoencoder, first, last)

    def timing(self, steps: int, latent: Latent[Any]) -> Mapping[str, Any]:
        """Sigmas from 1 to 1 / steps, before they are shifted."""
        import numpy

        return {"sigmas": numpy.linspace(1.0, 1 / steps, steps), **size_shift(self, latent, patch=1)}

    def conditions(self, prompt: Prompt[Any], latent: Latent[Any], negative: bool) -> Conditions:
        import torch

        if prompt.attention_mask is None:
            hint = "encode it with the model's encoder"
            raise InputError(f"the prompt has no mask of its words, which {self.family} needs", hint, "wrong-prompt")
        # A whole number, which is not rounded to the precision of the network.
        rate = torch.tensor([round((latent.rate or RATE) * MILLI)])
        mask = {"encoder_attention_mask": prompt.attention_mask}
        return {"encoder_hidden_states": prompt.embeddings, **mask, "rate": rate}

    def predict(
        self, sample: Tensor, timestep: Tensor, conditions: Conditions, residuals: Residuals | None = None
    ) -> Tensor:
        """The transformer reads a row of tokens, whose places it takes from the size of the clip and its rate."""
        import torch

        given = dict(conditions)
        first, rate = given.pop(FIRST_FRAMES, None), given.pop("rate")[0] / MILLI
        times = timestep.expand(len(sample), 1)
        if first is not None:
            sample = torch.cat([first, sample[:, :, first.shape[2] :]], dim=2)
            times = timestep.expand(len(sample), *sample.shape[2:]).clone()
            times[:, : first.shape[2]] = 0
        _, _, frames, height, width = sample.shape
        velocity: Tensor = self.network(
            hidden_states=sample.flatten(2).transpose(1, 2),
            timestep=times.flatten(1),
            num_frames=frames,
            height=height,
            width=width,
            rope_interpolation_scale=(FRAMES / rate, self.latent_factor, self.latent_factor),
            **given,
            return_dict=False,
        )[0]
        return velocity.transpose(1, 2).reshape(len(sample), -1, frames, height, width)


class LTXVideoFormat(NetworkFormat):
    """LTX-Video's transformer, from a folder."""

    class_name = "LTXVideoTransformer3DModel"

    def unsupported(self, config: Mapping[str, Any]) -> str:
        patched = config.get("patch_size", 1) != 1 or config.get("patch_size_t", 1) != 1
        return "patches of latents" if patched else ""

    def latent_channels(self, config: Mapping[str, Any]) -> int:
        return int(config.get("in_channels", CHANNELS))

    def prompt_widths(self, config: Mapping[str, Any]) -> PromptWidths:
        return PromptWidths(config.get("caption_channels", 4096))


LTX_VIDEO = Family(
    name="LTXVideo",
    network=LTXVideoFormat(),
    denoiser=LTXVideoDenoiser,
    prompts=OneTextModel,
    latent_rgb_factors=false_colours(CHANNELS),
    precisions=all_parts(IN_BFLOAT16, "Lightricks/LTX-Video"),
    texts=(T5("t5xxl", "text_encoder", (), length=128, longest=128, marked=True),),
    vae=VAESpec(CHANNELS, "AutoencoderKLLTXVideo", factor=SIDE),
    scheduler={
        "_class_name": "FlowMatchEulerDiscreteScheduler",
        "num_train_timesteps": 1000,
        "shift": 1.0,
        "use_dynamic_shifting": True,
        "base_shift": 0.95,
        "max_shift": 2.05,
        "base_image_seq_len": 1024,
        "max_image_seq_len": 4096,
        "shift_terminal": 0.1,
    },
)
