"""The CogVideoX family: clips from text, and from a picture to begin with (arXiv:2408.06072).

T5 reads a prompt. The transformer has joint attention over patches of latents and the prompt, and predicts the velocity
under a noise schedule that ends in noise alone. Models for pictures see the latents of the first frame next to their
own. The patches of version 1.5 take several latent frames: where those of a clip do not fill them, it samples further
ones in front, which are not decoded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from weft.engine import InputError
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
    from weft.nodes.values import Latent, Prompt

CHANNELS, FRAMES, TOKENS = 16, 4, 226
"""Channels of latents, frames to a latent frame, and tokens of a prompt."""

OFFSET = 2.0
"""A further number that the models of version 1.5 for pictures read, as in diffusers' pipeline."""


class CogVideoXDenoiser(Denoiser):
    """CogVideoX's transformer."""

    clips = ClipLimits(FRAMES, together=2, by_frame=True, led=True)
    perturbable = False
    skips_blocks = True
    repeated_blocks = ("CogVideoXBlock",)
    places: tuple[tuple[Any, ...], Any] | None = None

    @classmethod
    def size_limits(cls, config: Mapping[str, Any]) -> SizeLimits:
        learned = config.get("use_learned_positional_embeddings")
        trained = (config.get("sample_width", 90), config.get("sample_height", 60))
        most = min(trained) if config.get("patch_size_t") else 0
        return SizeLimits(PATCH, most=most, exact=trained if learned else None)

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
        """The latents of the picture; the other frames are zeros."""
        check_begins(PictureReading(), ends=last is not None)
        found = autoencoder.distribution(first[None, None])
        if autoencoder.network.config.invert_scale_latents:
            assert isinstance(autoencoder.scale, float)
            inverse = autoencoder.scale**-2  # as the authors trained
            found = found.each(lambda part: part * inverse)
        return EncodedPictures(found.mean, deviation=found.deviation)

    def conditions(self, prompt: Prompt[Any], latent: Latent[Any], negative: bool) -> Conditions:
        """The prompt's tokens; models with a table of positions have places for so many."""
        config, tokens = self.network.config, prompt.embeddings.shape[1]
        table = config.use_learned_positional_embeddings or not config.use_rotary_positional_embeddings
        if table and tokens != config.max_text_seq_length:
            raise InputError(
                f"the model reads prompts of {config.max_text_seq_length} tokens, found {tokens}",
                "use CombinePrompts in place of ConcatPrompts, and leave `max_sequence_length` out",
                "wrong-prompt",
            )
        return super().conditions(prompt, latent, negative)

    @property
    def patch_frames(self) -> int:
        """Latent frames of a patch."""
        return int(self.network.config.patch_size_t or 1)

    def latent_shape(self, latent: Latent[Any]) -> tuple[int, ...]:
        channels, frames, *sides = super().latent_shape(latent)
        return (channels, frames + -frames % self.patch_frames, *sides)

    def check_clip(self, latent: Latent[Any]) -> None:
        super().check_clip(latent)
        if latent.frames and latent.frames % self.patch_frames:
            raise InputError(
                f"the model takes latent frames by {self.patch_frames}, and the latent has {latent.frames}: it goes on "
                "with its own latents alone",
                "link `latent` to EmptyVideoLatent",
                "wrong-latent",
            )

    def predict(
        self, sample: Tensor, timestep: Tensor, conditions: Conditions, residuals: Residuals | None = None
    ) -> Tensor:
        """The transformer reads frames before channels, and where its patches lie."""
        import torch

        given = dict(conditions)
        extra, config = given.pop(EXTRA_CHANNELS, None), self.network.config
        seen = sample if extra is None else torch.cat([sample, _filled(extra, sample)], dim=1)
        if config.ofs_embed_dim:
            given["ofs"] = sample.new_full((1,), OFFSET)
        with self._placed(sample) as turned:
            velocity: Tensor = self.network(
                seen.transpose(1, 2),
                timestep=timestep.expand(len(sample)),
                image_rotary_emb=turned,
                **given,
                return_dict=False,
            )[0]
        return velocity.transpose(1, 2)

    @contextmanager
    def _placed(self, sample: Tensor) -> Iterator[Any]:
        """The rotations of patches, or None where the network adds a table of places: the one for this size then.

        What was computed for the last size is kept with the network.
        """
        turns = self.network.config.use_rotary_positional_embeddings
        size = (*sample.shape[2:], str(sample.device), sample.dtype)
        if self.places is None or self.places[0] != size:
            self.places = (size, _rotations(self.network.config, sample) if turns else _table(self.network, sample))
        if turns:
            yield self.places[1]
            return
        frames, height, width = sample.shape[2:]
        given = {"sample_frames": (frames - 1) * FRAMES + 1, "sample_height": height, "sample_width": width}
        embedding = self.network.patch_embed
        before = {name: getattr(embedding, name) for name in (*given, "pos_embedding")}
        try:
            for name, one in {**given, "pos_embedding": self.places[1]}.items():
                setattr(embedding, name, one)
            yield None
        finally:
            for name, one in before.items():
                setattr(embedding, name, one)


def _filled(extra: Tensor, sample: Tensor) -> Tensor:
    """What is seen of the first frame, with zeros for the others."""
    import torch

    return torch.nn.functional.pad(extra, (0, 0, 0, 0, 0, sample.shape[2] - extra.shape[2]))


def _rotations(config: Any, sample: Tensor) -> Any:
    """The rotation of each patch by its frame, row and column.

    They are scaled to the size of the training, but for those of version 1.5, which are counted from a corner.
    """
    from diffusers.models import embeddings
    from diffusers.pipelines.cogvideo import pipeline_cogvideox

    frames, height, width = sample.shape[2:]
    grid = (height // PATCH, width // PATCH)
    trained = (config.sample_height // PATCH, config.sample_width // PATCH)
    rotations: Any = embeddings.get_3d_rotary_pos_embed
    given = {"embed_dim": config.attention_head_dim, "grid_size": grid, "device": str(sample.device)}
    if config.patch_size_t:
        counted = {"crops_coords": None, "grid_type": "slice", "max_size": trained}
        return rotations(**given, **counted, temporal_size=frames // config.patch_size_t)
    crop: Any = pipeline_cogvideox.get_resize_crop_region_for_grid
    return rotations(**given, crops_coords=crop(grid, trained[1], trained[0]), temporal_size=frames)


def _table(network: Any, sample: Tensor) -> Tensor:
    """The table of places for a size.

    It is computed on the host, in double precision: MPS has none, and the network computes it on its device.
    """
    frames, height, width = sample.shape[2:]
    made: Tensor = network.patch_embed._get_positional_embeddings(height, width, (frames - 1) * FRAMES + 1)
    return made.to(sample.dtype).to(sample.device)


class CogVideoXFormat(NetworkFormat):
    """CogVideoX's transformer, from a folder."""

    class_name = "CogVideoXTransformer3DModel"

    def load(self, facts: NetworkFacts, root: Path, variant: str, dtype: torch.dtype) -> Any:
        """The network, made on the host: its places are computed in double precision, which MPS does not have."""
        from weft.nodes.models.weights_file import reading_onto

        with reading_onto("cpu"):
            network = super().load(facts, root, variant, dtype)
        table = getattr(network.patch_embed, "pos_embedding", None)
        if table is not None:
            network.patch_embed.pos_embedding = table.to(dtype)
        return network

    def unsupported(self, config: Mapping[str, Any]) -> str:
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
