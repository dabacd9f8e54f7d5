"""Parts that families share: AutoencoderKL and CLIP's text models, from folders and from single files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weft.engine import Resolved
from weft.nodes import original_layout as original
from weft.nodes.folders import component, read_config
from weft.nodes.headers import read_shapes

if TYPE_CHECKING:
    import torch

    from weft.nodes.modules import Autoencoder, Reader


FACTOR = 8
"""Pixels to a latent element, along each side."""

VAE_ENTRY = "decoder.conv_in.weight"
"""A tensor of every VAE's, by which it is found in a file."""


def kl_autoencoder(
    source: Resolved,
    variant: str,
    dtype: torch.dtype,
    device: str,
    scale: Mapping[str, float],
    prefix: str = original.VAE,
) -> Autoencoder:
    """The VAE of a checkpoint.

    Args:
        scale: how latents are scaled and shifted, for files that do not say it.
        prefix: what the names of its tensors begin with in a single file.
    """
    from diffusers import AutoencoderKL

    from weft.nodes.loading import assembled, pretrained, ready
    from weft.nodes.modules import Autoencoder

    if source.root.is_dir():
        vae = pretrained(AutoencoderKL, component(source.root, "vae"), variant, torch_dtype=dtype)
    else:
        shapes = read_shapes(source.root)
        prefix = original.prefix_of(VAE_ENTRY, shapes, prefix)
        config = {**original.vae_config(original.below(prefix, shapes)), **scale}
        vae = assembled(AutoencoderKL, config, original.vae_weights(source.root, config, prefix), dtype)
    return ready(Autoencoder(vae), device)


def vae_factor(root: Path, prefix: str = original.VAE) -> int:
    """Pixels to a latent element, along each side, of a checkpoint's VAE; read from headers.

    A denoiser alone comes with none; the VAEs of all families have the same factor.
    """
    if root.is_dir():
        if (root / "config.json").is_file():
            return FACTOR
        config = read_config(root / "vae" / "config.json")
    else:
        shapes = original.below(prefix, read_shapes(root))
        if not shapes:
            return FACTOR
        config = original.vae_config(shapes)
    return int(2 ** (len(config["block_out_channels"]) - 1))


def clip_reader(
    source: Resolved,
    part: str,
    kind: Any,
    variant: str,
    dtype: torch.dtype,
    *,
    prefix: str,
    padding: str | None = None,
    **config: Any,
) -> Reader:
    """One of CLIP's text models with its tokenizer.

    Args:
        part: its folder; the tokenizer's is named alike.
        kind: transformers' class.
        prefix: what the names of its tensors begin with in a single file, under transformers' own names.
        padding: what its tokenizer pads with, where the checkpoint has none of its own.
        config: of the model in a single file, beside what shapes tell.
    """
    from transformers import CLIPTextConfig

    from weft.nodes.loading import assembled_text, pretrained
    from weft.nodes.modules import Reader
    from weft.nodes.tokenizer import clip_tokenizer

    if source.root.is_dir():
        model = pretrained(kind, source.root / part, variant, dtype=dtype)
    else:
        found = original.text_config(original.below(prefix, read_shapes(source.root)))
        weights = original.text_weights(source.root, prefix)
        model = assembled_text(kind, CLIPTextConfig(**{**found, **config}), weights, dtype)
    own = source.root / part.replace("text_encoder", "tokenizer")
    return Reader(model, clip_tokenizer(own, padding))
