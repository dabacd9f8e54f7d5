"""What the families of flow-matching transformers share: SD 3 and FLUX.1.

A checkpoint is a diffusers folder, or one safetensors file with the transformer in its original layout, the VAE and the
text encoders. T5's tokenizer is in no such file: it is looked for beside it, then in the hub's cache.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weft.engine import InputError, Resolved
from weft.nodes import hub
from weft.nodes import original_layout as original
from weft.nodes.families.base import Contents, Family
from weft.nodes.families.parts import kl_autoencoder, vae_factor
from weft.nodes.folders import component
from weft.nodes.headers import Shapes, read_shapes
from weft.nodes.preview import colours_of

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from weft.nodes.modules import Autoencoder, Conditions, Denoiser, Reader
    from weft.nodes.values import Latent, Prompt

CLIP = "text_encoders.clip_l.transformer."
T5 = "text_encoders.t5xxl.transformer."

T5_TOKENIZER = "t5_tokenizer"
"""The folder beside a single file that has T5's tokenizer."""

T5_IN_HUB = {
    "black-forest-labs/FLUX.1-dev": "tokenizer_2",
    "black-forest-labs/FLUX.1-schnell": "tokenizer_2",
    "stabilityai/stable-diffusion-3-medium-diffusers": "tokenizer_3",
    "stabilityai/stable-diffusion-3.5-medium": "tokenizer_3",
    "stabilityai/stable-diffusion-3.5-large": "tokenizer_3",
}
"""Where the hub's cache may have T5's tokenizer: a folder of a model, by the model's id."""


class FlowFamily(Family):
    """A family of transformers over the latents of a VAE with sixteen channels."""

    transformer_class: str
    """The name of diffusers' class."""

    vae_channels = 16
    vae_prefix = original.VAE

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

        from weft.nodes.loading import assembled, pretrained, ready
        from weft.nodes.modules import Denoiser

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
        factor = vae_factor(source.root, self.vae_prefix)
        return ready(
            Denoiser(self, network, scheduler, channels, factor, colours_of(source.root, self.colours)), device
        )

    def autoencoder(self, source: Resolved, variant: str, dtype: torch.dtype, device: str) -> Autoencoder:
        """The VAE."""
        return kl_autoencoder(source, variant, dtype, device, self.scale, self.vae_prefix)

    def prompt_width(self, model: Denoiser) -> int:
        return int(model.network.config.joint_attention_dim)

    def conditions(self, model: Denoiser, prompt: Prompt[Any], latent: Latent[Any], negative: bool) -> Conditions:
        if prompt.pooled is None:
            raise InputError(f"the prompt has no vector, which {self.name} reads", "encode it with the model's encoder")
        return {"encoder_hidden_states": prompt.embeddings, "pooled_projections": prompt.pooled}

    def timing(self, model: Denoiser, steps: int, latent: Latent[Any]) -> Mapping[str, Any]:
        """The shift of the schedule, where it depends on the picture's size: linear in the number of tokens."""
        config = model.scheduler
        if not config.get("use_dynamic_shifting"):
            return {}
        side = 2 * model.latent_factor
        tokens = (latent.height // side) * (latent.width // side)
        least, most = config.get("base_image_seq_len", 256), config.get("max_image_seq_len", 4096)
        low, high = config.get("base_shift", 0.5), config.get("max_shift", 1.15)
        return {"mu": low + (high - low) * (tokens - least) / (most - least)}


def t5_reader(source: Resolved, number: int, variant: str, dtype: torch.dtype, length: int) -> Reader | None:
    """T5's encoder with its tokenizer; None where the checkpoint has none.

    Args:
        number: of the encoder among those of a folder, from 1.
        length: tokens that it reads.
    """
    from transformers import AutoTokenizer, T5Config, T5EncoderModel

    from weft.nodes.loading import assembled_text, pretrained
    from weft.nodes.modules import Reader

    if source.root.is_dir():
        folder, words = source.root / f"text_encoder_{number}", source.root / f"tokenizer_{number}"
        if not folder.is_dir():
            return None
        model = pretrained(T5EncoderModel, folder, variant, dtype=dtype)
    else:
        shapes = original.below(T5, read_shapes(source.root))
        if not shapes:
            return None
        words = t5_tokenizer_folder(source.root)
        weights = original.below(T5, original.tensors(source.root, T5))
        model = assembled_text(T5EncoderModel, T5Config(**original.t5_config(shapes)), weights, dtype)
    return Reader(model, AutoTokenizer.from_pretrained(words, local_files_only=True), length)


def t5_tokenizer_folder(file: Path) -> Path:
    """Where T5's tokenizer is, for a single file.

    Raises:
        InputError: where it is neither beside the file nor in the hub's cache.
    """
    found = [file.parent / T5_TOKENIZER]
    for hub_id, folder in T5_IN_HUB.items():
        snapshot = hub.snapshot(hub_id, hub.cache_folder())
        found += [snapshot / folder] if snapshot else []
    present = next((folder for folder in found if (folder / "tokenizer_config.json").is_file()), None)
    if present is None:
        raise InputError(
            f"`{file.name}` has T5's weights, and T5's tokenizer is neither beside it nor in the hub's cache",
            f"put the folder `tokenizer_3` of SD 3, or `tokenizer_2` of FLUX.1, beside it as `{T5_TOKENIZER}`",
        )
    return present
