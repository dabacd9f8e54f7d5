"""What families of flow-matching transformers share: evenly spaced sigmas, the shift of sigmas by the picture's size,
patches of latents, and the channels of prompts and pooled embeddings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from weft.engine import InputError
from weft.nodes.models.control_networks import check_equal
from weft.nodes.models.denoiser import Conditions, Denoiser
from weft.nodes.models.denoiser_facts import SizeLimits
from weft.nodes.models.facts import PromptWidths
from weft.nodes.models.network_format import NetworkFormat

if TYPE_CHECKING:
    from torch import Tensor

    from weft.nodes.values import Latent, Prompt

CLIP_PREFIX = "text_encoders.clip_l.transformer."
T5_PREFIX = "text_encoders.t5xxl.transformer."

PATCH = 2
"""Latent elements along each side of what makes one token."""


def flow_widths(channels: Mapping[str, int]) -> PromptWidths:
    """Channels of prompts, which are T5's, and of their pooled embedding, which is that of all CLIP models."""
    return PromptWidths(channels.get("t5xxl", 0), sum(width for name, width in channels.items() if name != "t5xxl"))


class FlowDenoiser(Denoiser):
    """A flow-matching transformer."""

    def skipped_steps(self, steps: int, denoise: float) -> int:
        """`int(steps - steps * denoise)`, as in diffusers' image-to-image pipelines of flows.

        A step that is walked in part is walked whole: 0.3 of 5 steps are 2.
        """
        return int(max(steps - min(steps * denoise, steps), 0))


class JointDenoiser(FlowDenoiser):
    """A flow-matching transformer with joint attention over picture and prompt, which reads a pooled prompt too."""

    @property
    def prompt_width(self) -> int:
        return int(self.network.config.joint_attention_dim)

    def conditions(self, prompt: Prompt[Any], latent: Latent[Any], negative: bool) -> Conditions:
        if prompt.pooled is None:
            hint = "encode it with the model's encoder"
            raise InputError(f"the prompt has no pooled embedding, which {self.family} needs", hint, "wrong-prompt")
        return {"encoder_hidden_states": prompt.embeddings, "pooled_projections": prompt.pooled}


def size_shift(
    denoiser: Denoiser, latent: Latent[Any], patch: int = PATCH, max_shift: float = 1.15
) -> Mapping[str, float]:
    """The shift `mu` of a schedule that depends on the picture's size; nothing where the scheduler takes none.

    It is linear in the number of tokens (SD 3, https://arxiv.org/abs/2403.03206, section 5.3.2; diffusers'
    `calculate_shift`).

    Args:
        patch: latent elements along each side of a token.
        max_shift: `mu` for `max_image_seq_len` tokens, where the configuration does not say it.
    """
    config = denoiser.scheduler
    if not config.get("use_dynamic_shifting"):
        return {}
    side = patch * denoiser.latent_factor
    frames = denoiser.clips.latent_frames(latent.length or 1) if denoiser.clips else 1
    tokens = frames * (latent.height // side) * (latent.width // side)
    least, most = config.get("base_image_seq_len", 256), config.get("max_image_seq_len", 4096)
    low, high = config.get("base_shift", 0.5), config.get("max_shift", max_shift)
    return {"mu": low + (high - low) * (tokens - least) / (most - least)}


class SpacedDenoiser(FlowDenoiser):
    """A flow-matching transformer over patches of two by two latent elements, whose sigmas are spaced evenly."""

    spaces_steps = True
    perturbable = False

    @classmethod
    def size_limits(cls, config: Mapping[str, Any]) -> SizeLimits:
        return SizeLimits(PATCH)

    @property
    def prompt_width(self) -> int:
        return int(self.network.config.joint_attention_dim)

    def timing(self, steps: int, latent: Latent[Any]) -> Mapping[str, Any]:
        """Sigmas from 1 to 1 / steps, before they are shifted."""
        import numpy

        return {"sigmas": numpy.linspace(1.0, 1 / steps, steps), **size_shift(self, latent)}

    def network_timestep(self, timestep: Tensor) -> Tensor:
        """The share of noise, 0 to 1."""
        return timestep / 1000


def packed(latents: Tensor) -> Tensor:
    """Latents `[batch, channel, height, width]` as patches of two by two elements `[batch, patch, 4 x channel]`."""
    batch, channels, height, width = latents.shape
    pairs = latents.reshape(batch, channels, height // PATCH, PATCH, width // PATCH, PATCH)
    return pairs.permute(0, 2, 4, 1, 3, 5).reshape(batch, -1, PATCH**2 * channels)


def unpacked(patches: Tensor, shape: Sequence[int]) -> Tensor:
    """The inverse of `packed`, for latents of a shape."""
    batch, channels, height, width = shape
    pairs = patches.reshape(batch, height // PATCH, width // PATCH, channels, PATCH, PATCH)
    return pairs.permute(0, 3, 1, 4, 2, 5).reshape(batch, channels, height, width)


def places(rows: int, columns: int, like: Tensor) -> Tensor:
    """The row and column of each patch of a picture, behind a zero, `[patch, 3]`: FLUX.1's numbers of patches."""
    import torch

    numbers = torch.zeros(rows, columns, 3, device=like.device, dtype=like.dtype)
    numbers[..., 1] = torch.arange(rows, device=like.device)[:, None]
    numbers[..., 2] = torch.arange(columns, device=like.device)
    return numbers.flatten(0, 1)


def over_blocks(added: Sequence[Tensor], blocks: int, in_turn: bool = False) -> list[Tensor]:
    """What is added to each block of a transformer, by a ControlNet of fewer: each to neighbours, or in turn."""
    if not added:
        return []
    each = -(-blocks // len(added))
    return [added[index % len(added) if in_turn else index // each] for index in range(blocks)]


def check_same_width(control: Mapping[str, Any], steered: Mapping[str, Any]) -> None:
    """Raise `InputError` where a ControlNet was made for a transformer of other widths.

    Args:
        control: the configuration of the ControlNet.
        steered: that of the transformer.
    """
    own, wanted = (
        {**config, "channels": config["num_attention_heads"] * config["attention_head_dim"]}
        for config in (control, steered)
    )
    check_equal(own, wanted, ("channels", "joint_attention_dim", "pooled_projection_dim", "patch_size"))


def unpredicted_channels(config: Mapping[str, Any]) -> str:
    """What a network reads in addition to the latents whose velocity it predicts; empty where there is nothing."""
    seen, predicted = config.get("in_channels"), config.get("out_channels")
    if predicted is None or seen == predicted:
        return ""
    return f"pictures or masks next to its latents ({seen} channels, of which it predicts {predicted})"


class JointFormat(NetworkFormat):
    """Transformers whose prompts have `joint_attention_dim` channels. Those without `pooled_projection_dim`, such as
    Qwen-Image's, read no pooled embedding: 0 channels.
    """

    def prompt_widths(self, config: Mapping[str, Any]) -> PromptWidths:
        return PromptWidths(config.get("joint_attention_dim", 0), config.get("pooled_projection_dim", 0))
