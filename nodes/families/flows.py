"""What the families of flow-matching transformers share: SD 3 and FLUX.1.

A checkpoint is a diffusers folder, or one safetensors file with the transformer in its original layout, the VAE and the
text encoders.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from weft.engine import InputError, Resolved
from weft.nodes.families.family import Family
from weft.nodes.models import single_file as original
from weft.nodes.models.contents import Contents
from weft.nodes.models.denoiser import Conditions, Denoiser
from weft.nodes.models.diffusers_folder import component
from weft.nodes.models.facts import PromptWidths
from weft.nodes.models.latent_preview import colours_of
from weft.nodes.models.safetensors_header import Shapes, read_shapes

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from weft.nodes.values import Latent, Prompt

CLIP_PREFIX = "text_encoders.clip_l.transformer."
T5_PREFIX = "text_encoders.t5xxl.transformer."


def flow_widths(channels: Mapping[str, int]) -> PromptWidths:
    """Channels of prompts, which are T5's, and of their vector, which is made of all of CLIP's."""
    return PromptWidths(channels.get("t5xxl", 0), sum(width for name, width in channels.items() if name != "t5xxl"))


class JointDenoiser(Denoiser):
    """A flow-matching transformer with joint attention over picture and prompt, which reads a pooled prompt too."""

    @property
    def prompt_width(self) -> int:
        return int(self.network.config.joint_attention_dim)

    def conditions(self, prompt: Prompt[Any], latent: Latent[Any], negative: bool) -> Conditions:
        if prompt.pooled is None:
            hint = "encode it with the model's encoder"
            raise InputError(f"the prompt has no vector, which {self.family} reads", hint)
        return {"encoder_hidden_states": prompt.embeddings, "pooled_projections": prompt.pooled}

    def timing(self, steps: int, latent: Latent[Any]) -> Mapping[str, Any]:
        return size_shift(self, latent)


def size_shift(denoiser: Denoiser, latent: Latent[Any]) -> Mapping[str, float]:
    """The shift `mu` of a schedule that depends on the picture's size; nothing where the scheduler takes none.

    It is linear in the number of tokens, patches of two by two latent elements (SD 3, https://arxiv.org/abs/2403.03206,
    section 5.3.2; diffusers' `calculate_shift`).
    """
    config = denoiser.scheduler
    if not config.get("use_dynamic_shifting"):
        return {}
    side = 2 * denoiser.latent_factor
    tokens = (latent.height // side) * (latent.width // side)
    least, most = config.get("base_image_seq_len", 256), config.get("max_image_seq_len", 4096)
    low, high = config.get("base_shift", 0.5), config.get("max_shift", 1.15)
    return {"mu": low + (high - low) * (tokens - least) / (most - least)}


class FlowFamily(Family):
    """A family of transformers over the latents of a VAE with sixteen channels."""

    transformer_class: str
    """The name of diffusers' class."""

    denoiser_class = JointDenoiser

    entry: str
    """A tensor of every transformer's in the original layout, by which it is found in a file."""

    def recognises_denoiser(self, contents: Contents) -> bool:
        if contents.shapes:
            return contents.holds(original.prefix_of(self.entry, contents.shapes, original.UNET) + self.entry)
        return contents.class_of("") == self.transformer_class

    @abstractmethod
    def transformer_config(self, shapes: Shapes) -> original.Config:
        """The configuration of a transformer, from shapes of the original layout."""

    @abstractmethod
    def transformer_weights(self, found: dict[str, Tensor]) -> dict[str, Tensor]:
        """A transformer's weights under diffusers' names."""

    @abstractmethod
    def latent_channels(self, config: Mapping[str, Any]) -> int:
        """Channels of the latents that a transformer of this configuration denoises."""

    def denoiser(self, source: Resolved, variant: str, dtype: torch.dtype, device: str) -> Denoiser:
        """The transformer with the checkpoint's scheduler configuration."""
        import diffusers

        from weft.nodes.models.loading import assembled, pretrained, ready

        kind = getattr(diffusers, self.transformer_class)
        if source.root.is_dir():
            network = pretrained(kind, component(source.root, "transformer"), variant, torch_dtype=dtype)
        else:
            shapes = read_shapes(source.root)
            prefix = original.prefix_of(self.entry, shapes, original.UNET)
            config = self.transformer_config(original.below(prefix, shapes))
            found = original.below(prefix, original.tensors(source.root, prefix))
            network = assembled(kind, config, self.transformer_weights(found), dtype)
        scheduler = self.scheduler_of(Contents.of(source.root))
        channels = self.latent_channels(network.config)
        factor = self.latent_factor(Contents.of(source.root))
        colours = colours_of(source.root, self.colours)
        return self.denoiser_class(self.name, ready(network, device), scheduler, channels, factor, colours)

    def widths_of(self, contents: Contents) -> PromptWidths:
        if contents.shapes:
            prefix = original.prefix_of(self.entry, contents.shapes, original.UNET)
            told: Mapping[str, Any] = self.transformer_config(original.below(prefix, contents.shapes))
        else:
            told = contents.configs.get("transformer") or contents.configs[""]
        return PromptWidths(told.get("joint_attention_dim", 0), told.get("pooled_projection_dim", 0))
