"""The VAE of FLUX.2: each two by two elements of its latents are one for the models, normalised by channel.

Importing this module imports no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from weft.nodes.models.autoencoder import Autoencoder, LatentDistribution
from weft.nodes.models.safetensors_header import Shapes
from weft.nodes.models.single_file import count, diffusers_vae_config, vae_config, vae_weights
from weft.nodes.models.tensor_layouts import Config, TensorLayout

if TYPE_CHECKING:
    from torch import Tensor

PATCH = 2
"""Elements along each side of what models see as one."""

MOVED = {"encoder.quant_conv.": "quant_conv.", "decoder.post_quant_conv.": "post_quant_conv."}
"""Convolutions that its authors have inside encoder and decoder."""

COUNTED = "bn."
"""What the names of the mean and the variance of each channel begin with, as its training counted them."""


class PatchedAutoencoder(Autoencoder):
    """A VAE whose models see patches of its latents."""

    def _decoded_pictures(self, latents: Tensor) -> Tensor:
        import torch

        return super()._decoded_pictures(torch.nn.functional.pixel_shuffle(latents, PATCH))

    def _encoded_pictures(self, pixels: Tensor) -> LatentDistribution:
        import torch

        return super()._encoded_pictures(pixels).each(lambda part: torch.nn.functional.pixel_unshuffle(part, PATCH))

    def _tiling(self, tile: int) -> Mapping[str, int]:
        return {"tile_sample_min_size": tile, "tile_latent_min_size": tile * PATCH // self.factor}


def patched_sizes(config: Mapping[str, Any]) -> tuple[int, int, int]:
    """Channels of latents as models see them, their factor, and no factor of time."""
    levels = len(config.get("block_out_channels", [128, 256, 512, 512]))
    return config.get("latent_channels", 32) * PATCH**2, PATCH * 2 ** (levels - 1), 1


def patched_vae(network: Any, sizes: tuple[int, int, int], spec: object) -> Autoencoder:
    """The VAE with the mean and the deviation of each channel of patches, as its training counted them."""
    mean, variance = (one.cpu().double() for one in (network.bn.running_mean, network.bn.running_var))  # MPS has none
    scale, shift = (1 / (variance + network.config.batch_norm_eps).sqrt()).tolist(), mean.tolist()
    return PatchedAutoencoder(network, *sizes, scale=tuple(scale), shift=tuple(shift))


def _patched_config(shapes: Shapes) -> Config:
    """The configuration of an AutoencoderKLFlux2, from shapes of the original layout."""
    named = {_moved(name): shape for name, shape in shapes.items()}
    levels = range(count(named, "decoder.up.{}.block.0.conv1.weight"))
    widths = [named[f"decoder.up.{level}.block.0.conv1.weight"][0] for level in levels]
    return _of_patches(shapes, {**vae_config(named), "decoder_block_out_channels": widths})


def _diffusers_patched_config(shapes: Shapes) -> Config:
    """The same, from shapes under diffusers' names, which count levels of the decoder from the inside."""
    levels = range(count(shapes, "decoder.up_blocks.{}.resnets.0.conv1.weight"))
    widths = [shapes[f"decoder.up_blocks.{level}.resnets.0.conv1.weight"][0] for level in reversed(levels)]
    return _of_patches(shapes, {**diffusers_vae_config(shapes), "decoder_block_out_channels": widths})


def _of_patches(shapes: Shapes, config: Config) -> Config:
    """A configuration; raises for a VAE without a mean for each channel of patches."""
    if shapes[f"{COUNTED}running_mean"][0] != config["latent_channels"] * PATCH**2:
        raise ValueError("another number of channels")
    return config


def _patched_weights(found: dict[str, Tensor], config: Config) -> dict[str, Tensor]:
    """Weights of the original layout under diffusers' names."""
    counted = {name: one for name, one in found.items() if name.startswith(COUNTED)}
    others = {_moved(name): one for name, one in found.items() if name not in counted}
    return {**vae_weights(others, config), **counted}


def _moved(name: str) -> str:
    return next((new + name.removeprefix(old) for old, new in MOVED.items() if name.startswith(old)), name)


PATCHED_LAYOUTS = (
    TensorLayout("decoder.mid.block_1.norm1.weight", _patched_config, _patched_weights),
    TensorLayout("decoder.mid_block.resnets.0.norm1.weight", _diffusers_patched_config),
)
"""The original layout, and diffusers' own."""
