"""A tiny blockwise control network of DiffSynth-Studio's: its file, and what its published code computes."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import gelu, linear

LAYERS, WIDTH, CHANNELS = 2, 64, 64
"""Those of the tiny Qwen-Image of the tests."""


def tensors(channels: int = CHANNELS, layers: int = LAYERS) -> dict[str, Tensor]:
    """The tensors of a file, by their published names."""
    random = torch.Generator().manual_seed(5)
    found = {"img_in.weight": (WIDTH, channels), "img_in.bias": (WIDTH,)}
    for number in range(layers):
        block = f"controlnet_blocks.{number}."
        found |= {f"{block}{norm}.weight": (WIDTH,) for norm in ("x_rms", "y_rms")}
        found |= {f"{block}{one}.weight": (WIDTH, WIDTH) for one in ("input_proj", "output_proj")}
        found |= {f"{block}{one}.bias": (WIDTH,) for one in ("input_proj", "output_proj")}
    return {
        name: torch.randn(shape, generator=random) * (0.2 if len(shape) > 1 else 1) for name, shape in found.items()
    }


def added(file: Mapping[str, Tensor], number: int, hidden: Tensor, patches: Tensor) -> Tensor:
    """What the block of a number adds to the hidden states of a picture's tokens."""

    def own(name: str) -> Tensor:
        return file[f"controlnet_blocks.{number}.{name}"]

    def normed(given: Tensor, name: str) -> Tensor:
        return given * torch.rsqrt(given.pow(2).mean(-1, keepdim=True) + 1e-6) * own(f"{name}.weight")

    tokens = linear(patches, file["img_in.weight"], file["img_in.bias"])
    mixed = linear(normed(hidden, "x_rms") + normed(tokens, "y_rms"), own("input_proj.weight"), own("input_proj.bias"))
    made: Tensor = linear(gelu(mixed), own("output_proj.weight"), own("output_proj.bias"))
    return made
