"""The CogVideoX family: clips from text, and from a picture to begin with (arXiv:2408.06072).

T5 reads a prompt. The transformer has joint attention over patches of latents and the prompt, and predicts the velocity
under a noise schedule that ends in noise alone. Models for pictures see the latents of the first frame next to their
own. Models of version 1.5, which have patches over frames too, are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from weft.nodes.families.family import Family
from weft.nodes.families.flows import PATCH
from weft.nodes.models.clip_pictures import EncodedPictures, PictureReading, check_begins
from weft.nodes.models.denoiser import EXTRA_CHANNELS, Conditions, Denoiser, Residuals
from weft.nodes.models.denoiser_facts import ClipLimits, SizeLimits
from weft.nodes.models.facts import NetworkFacts, PromptWidths
from weft.nodes.models.latent_preview import false_colours
from weft.nodes.models.network_format import NetworkFormat
from weft.nodes.models.parametrisation import SchedulerConfig
from weft.nodes.models.part_precisions import IN_BFLOAT16, all_parts
from weft.nodes.models.vae_formats import VAESpec
from weft.nodes.prompting.prompt_encoder import OneTextModel
from weft.nodes.prompting.t5 import T5

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from torch import Tensor

    from weft.nodes.models.autoencoder import Autoencoder

CHANNELS, FRAMES, TOKENS = 16, 4, 226
"""Channels of latents, frames to a latent frame, and tokens of a prompt."""


class CogVideoXDenoiser(Denoiser):
    """CogVideoX's transformer."""

    clips = ClipLimits(FRAMES, together=2, by_frame=True)
    perturbable = False
    skips_blocks = True
    repeated_blocks = ("CogVideoXBlock",)
    places: tuple[tuple[Any, ...], Any] | None = None

    @classmethod
    def size_limits(cls, config: Mapping[str, Any]) -> SizeLimits:
        learned = config.get("use_learned_positional_embeddings")
        exact = (config.get("sample_width", 90), config.get("sample_height", 60)) if learned else None
        return SizeLimits(PATCH, exact=exact)

    @property
    def prompt_width(self) -> int:
        return int(self.network.config.text_embed_dim)

    @property
    def extra_channels(self) -> int:
        return _extra_channels(self.network.config)

    @classmethod
    def reads_pictures(cls, config: Mapping[str, Any]) -> PictureReading | None:
        return PictureReading() if _extra_channels(config) else None

    @classmethod
    def encoded_pictures(
        cls, autoencoder: Autoencoder, first: Tensor, last: Tensor | None, frames: int
    ) -> EncodedPictures:
        """The latents of the picture, and zeros for the other frames."""
        import torch

        check_begins(PictureReading(), ends=last is not None)
        found = autoencoder.distribution(first[None, None])
        if autoencoder.network.config.invert_scale_latents:
            assert isinstance(autoencoder.scale, float)
            inverse = autoencoder.scale**-2  # as the authors trained
            found = found.each(lambda part: part * inverse)
        rest = (frames - 1) // FRAMES
        nothing = torch.zeros_like(found.mean).expand(-1, -1, rest, -1, -1)
        return EncodedPictures(torch.cat([found.mean, nothing], dim=2), deviation=found.deviation)

    def predict(
        self, sample: Tensor, timestep: Tensor, conditions: Conditions, residuals: Residuals | None = None
    ) -> Tensor:
        """The transformer reads frames before channels, and where its patches lie."""
        import torch

        given = dict(conditions)
        extra = given.pop(EXTRA_CHANNELS, None)
        seen = sample if extra is None else torch.cat([sample, extra], dim=1)
        config = self.network.config
        turned = None
        if config.use_rotary_positional_embeddings:
            sides = (config.sample_height // PATCH, config.sample_width // PATCH)
            turned = self._turned(*sample.shape[2:], sides, config.attention_head_dim, str(sample.device))
        velocity: Tensor = self.network(
            seen.transpose(1, 2),
            timestep=timestep.expand(len(sample)),
            image_rotary_emb=turned,
            **given,
            return_dict=False,
        )[0]
        return velocity.transpose(1, 2)

    def _turned(self, *size: Any) -> Any:
        """The rotations of patches for a size; those of the last size are kept with the network."""
        if self.places is None or self.places[0] != size:
            self.places = (size, _places(*size))
        return self.places[1]


def _places(frames: int, height: int, width: int, trained: tuple[int, int], head: int, device: str) -> Any:
    """The rotation of each patch by its frame, row and column, scaled to the size of the training.

    Args:
        height: in latent elements, as is the width.
        trained: rows and columns of patches of the training.
        head: channels of an attention head.
    """
    from diffusers.models import embeddings
    from diffusers.pipelines.cogvideo import pipeline_cogvideox

    grid = (height // PATCH, width // PATCH)
    crop: Any = pipeline_cogvideox.get_resize_crop_region_for_grid
    rotations: Any = embeddings.get_3d_rotary_pos_embed
    corners = crop(grid, trained[1], trained[0])
    return rotations(embed_dim=head, crops_coords=corners, grid_size=grid, temporal_size=frames, device=device)


class CogVideoXFormat(NetworkFormat):
    """CogVideoX's transformer, from a folder."""

    class_name = "CogVideoXTransformer3DModel"

    def load(self, facts: NetworkFacts, root: Path, variant: str, dtype: torch.dtype) -> Any:
        """The network, made on the host: its places are computed in double precision, which MPS does not have."""
        from weft.nodes.models.weights_file import reading_onto

        with reading_onto("cpu"):
            return super().load(facts, root, variant, dtype)

    def unsupported(self, config: Mapping[str, Any]) -> str:
        if config.get("patch_size_t") is not None:
            return "patches over several frames (version 1.5)"
        return "" if _extra_channels(config) in (0, CHANNELS) else "further channels next to its latents"

    def latent_channels(self, config: Mapping[str, Any]) -> int:
        return int(config.get("out_channels") or CHANNELS)

    def extra_channels(self, config: Mapping[str, Any]) -> int:
        return _extra_channels(config)

    def prompt_widths(self, config: Mapping[str, Any]) -> PromptWidths:
        return PromptWidths(config.get("text_embed_dim", 4096))


def _extra_channels(config: Mapping[str, Any]) -> int:
    """Channels that a transformer reads in addition to its latents."""
    return int(config.get("in_channels", CHANNELS)) - int(config.get("out_channels") or CHANNELS)


def restated(scheduler: SchedulerConfig) -> SchedulerConfig:
    """The configuration of CogVideoX's schedulers with the betas that their shift of the signal-to-noise ratio gives.

    The share of the signal becomes a / (s + (1 - s) a) (section 2.3 of the paper, diffusers' `snr_shift_scale`). Any
    sampler can walk it then. The first of their classes is DDIM, which never clips.
    """
    name, shift = scheduler.get("_class_name"), scheduler.get("snr_shift_scale", 3.0)
    if name not in ("CogVideoXDDIMScheduler", "CogVideoXDPMScheduler") or scheduler.get("trained_betas"):
        return scheduler
    steps = int(scheduler.get("num_train_timesteps", 1000))
    start, end = (scheduler.get(key, usual) ** 0.5 for key, usual in (("beta_start", 0.00085), ("beta_end", 0.012)))
    signals = [1.0]
    for step in range(steps):
        signals.append(signals[-1] * (1 - (start + (end - start) * step / (steps - 1)) ** 2))
    shifted = [1.0, *(one / (shift + (1 - shift) * one) for one in signals[1:])]
    betas = [1 - after / before for before, after in pairwise(shifted)]
    own = "DDIMScheduler" if name == "CogVideoXDDIMScheduler" else name
    stated = {"_class_name": own, "trained_betas": betas, "snr_shift_scale": 1.0, "clip_sample": False}
    return {**scheduler, **stated}


COGVIDEOX = Family(
    name="CogVideoX",
    network=CogVideoXFormat(),
    denoiser=CogVideoXDenoiser,
    prompts=OneTextModel,
    latent_rgb_factors=false_colours(CHANNELS),
    precisions=all_parts(IN_BFLOAT16, "THUDM/CogVideoX-5b"),
    texts=(T5("t5xxl", "text_encoder", (), length=TOKENS, longest=TOKENS),),
    vae=VAESpec(CHANNELS, "AutoencoderKLCogVideoX"),
    restated=restated,
    scheduler={
        "_class_name": "CogVideoXDDIMScheduler",
        "num_train_timesteps": 1000,
        "beta_schedule": "scaled_linear",
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "prediction_type": "v_prediction",
        "rescale_betas_zero_snr": True,
        "snr_shift_scale": 1.0,
        "timestep_spacing": "trailing",
        "clip_sample": False,
        "set_alpha_to_one": True,
    },
)
