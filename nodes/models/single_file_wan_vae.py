"""Wan's VAE in the layout in which its authors publish it, and Qwen-Image's, which was trained from it.

The renaming is diffusers' own, which knows four levels of two residual blocks, as every published one has. Importing
this module imports no torch; the converter does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from weft.nodes.models.safetensors_header import Shapes
from weft.nodes.models.tensor_layouts import Config

if TYPE_CHECKING:
    from torch import Tensor

LEVELS = 4

BLOCKS = 2
"""Residual blocks of a level; a downsampler follows them, but on the last level."""


def wan_vae_config(shapes: Shapes) -> Config:
    """The configuration of an AutoencoderKLWan or an AutoencoderKLQwenImage; each leaves out the other's entries."""
    width, pixels = shapes["encoder.conv1.weight"][:2]
    firsts = [level * (BLOCKS + 1) for level in range(LEVELS)]
    return {
        "base_dim": width,
        "z_dim": shapes["conv2.weight"][0],
        "dim_mult": [shapes[f"encoder.downsamples.{first}.residual.6.weight"][0] // width for first in firsts],
        "num_res_blocks": BLOCKS,
        "temperal_downsample": [f"encoder.downsamples.{last - 1}.time_conv.weight" in shapes for last in firsts[1:]],
        "input_channels": pixels,
        "in_channels": pixels,
        "out_channels": shapes["decoder.head.2.weight"][0],
    }


def diffusers_wan_vae_config(shapes: Shapes) -> Config:
    """The same, from shapes under diffusers' names."""
    width, pixels = shapes["encoder.conv_in.weight"][:2]
    firsts = [level * (BLOCKS + 1) for level in range(LEVELS)]
    return {
        "base_dim": width,
        "z_dim": shapes["post_quant_conv.weight"][0],
        "dim_mult": [shapes[f"encoder.down_blocks.{first}.conv2.weight"][0] // width for first in firsts],
        "num_res_blocks": BLOCKS,
        "temperal_downsample": [f"encoder.down_blocks.{last - 1}.time_conv.weight" in shapes for last in firsts[1:]],
        "input_channels": pixels,
        "in_channels": pixels,
        "out_channels": shapes["decoder.conv_out.weight"][0],
    }


def wan_vae_weights(found: dict[str, Tensor], config: Config) -> dict[str, Tensor]:
    """The weights under diffusers' names."""
    from diffusers.loaders import single_file_utils

    convert: Any = single_file_utils.convert_wan_vae_to_diffusers
    converted: dict[str, Tensor] = convert(found)
    return converted
