"""The weights of a loaded network in eight bits, with a scale for each row; layers compute in their own precision.

A row is divided by its largest magnitude over that of the type, so that it takes its whole range. Convolutions and
linear layers are stored so; tables, norms, and the layers that a picture enters and leaves by keep their precision.
Imports torch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from weft.nodes.models.packed_weights import PackedLayer, ScaledNumbers, pack

LARGEST: Mapping[str, tuple[torch.dtype, float]] = {"fp8": (torch.float8_e4m3fn, 448.0), "int8": (torch.int8, 127.0)}
"""The type of numbers, and the largest one that a row is scaled to, by the name of a storage."""

LEFT_OUT = ("pos_embed", "patch_embed", "^norm_out", "^proj_in$", "^proj_out$")
"""Patterns of the names of layers that are left out, as in diffusers' layer-wise casting. That leaves out modulations
too (`norm`), which are a quarter of FLUX.1; with a scale for each row they need not be."""


def store_in_eight_bits(network: nn.Module, storage: str) -> None:
    """Store the weights of a network as `storage` says, layer by layer; what is packed already stays as it is."""
    own = {*(getattr(network, "_skip_layerwise_casting_patterns", None) or ())} - {"norm"}
    for name, layer in [*network.named_modules()]:
        left_out = any(re.search(pattern, name) for pattern in (*LEFT_OUT, *own))
        if isinstance(layer, nn.Linear | nn.Conv2d) and not isinstance(layer, PackedLayer) and not left_out:
            pack(layer, in_eight_bits(layer.weight.data, storage), layer.weight.dtype)


def in_eight_bits(weight: Tensor, storage: str) -> ScaledNumbers:
    """A weight `[row, ...]` in eight bits."""
    dtype, most = LARGEST[storage]
    rows = weight.float().flatten(1)
    scale = (rows.abs().amax(dim=1, keepdim=True) / most).clamp(min=torch.finfo(torch.float32).tiny)
    numbers = rows / scale
    kept = (numbers if dtype.is_floating_point else numbers.round()).clamp(-most, most).to(dtype)
    return ScaledNumbers(kept.reshape(weight.shape), scale)
