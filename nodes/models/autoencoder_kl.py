"""What families share: AutoencoderKL, from folders and from single files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from weft.engine import Resolved
from weft.nodes.models import single_file as original
from weft.nodes.models.diffusers_folder import component, read_config
from weft.nodes.models.safetensors_header import read_shapes

if TYPE_CHECKING:
    import torch

    from weft.nodes.models.autoencoder import Autoencoder


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

    from weft.nodes.models.autoencoder import Autoencoder
    from weft.nodes.models.loading import assembled, pretrained, ready

    if source.root.is_dir():
        vae = pretrained(AutoencoderKL, component(source.root, "vae"), variant, torch_dtype=dtype)
    else:
        shapes = read_shapes(source.root)
        prefix = original.prefix_of(VAE_ENTRY, shapes, prefix)
        config = {**original.vae_config(original.below(prefix, shapes)), **scale}
        vae = assembled(AutoencoderKL, config, original.vae_weights(source.root, config, prefix), dtype)
    return Autoencoder(ready(vae, device))


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
