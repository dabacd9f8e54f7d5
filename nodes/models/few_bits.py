"""The weights of a loaded network in few bits; layers compute in their own precision, or in integers.

Convolutions and linear layers are stored so; tables, norms, and the layers that a picture enters and leaves by keep
their precision.

* `fp8`, `int8`: eight bits with a scale for each row, which is divided by its largest magnitude over that of the type,
  so that it takes its whole range.
* `nf4`: four bits for sixteen levels, the quantiles of a normal distribution, with a scale for each 64 numbers of a row
  (NormalFloat, https://arxiv.org/abs/2305.14314, appendix E).
* `int8_dynamic`: `int8`, multiplied in integers.

Imports torch.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from functools import partial
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from weft.engine import InputError
from weft.nodes.models.integer_products import DEVICES, IntegerNumbers
from weft.nodes.models.packed_weights import PackedLayer, PackedNumbers, ScaledNumbers, pack

LARGEST: Mapping[str, tuple[torch.dtype, float]] = {"fp8": (torch.float8_e4m3fn, 448.0), "int8": (torch.int8, 127.0)}
"""The type of numbers, and the largest one that a row is scaled to, by the name of a storage."""

LEFT_OUT = ("pos_embed", "patch_embed", "^norm_out", "^proj_in$", "^proj_out$")
"""Patterns of the names of layers that are left out, as in diffusers' layer-wise casting. That leaves out modulations
too (`norm`), which are a quarter of FLUX.1; with a scale for each row they need not be."""

BLOCK = 64
"""Numbers that share a scale in four bits."""

LEVELS = (
    *(-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334),
    *(-0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224),
    *(0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0),
)
"""What four bits stand for."""


def store_in_few_bits(network: nn.Module, storage: str, device: str) -> None:
    """Store the weights of a network as `storage` says, layer by layer; what is packed already stays as it is.

    Args:
        device: that the network will compute on.

    Raises:
        InputError: where the device cannot compute with them.
    """
    if storage == "int8_dynamic" and device.partition(":")[0] not in DEVICES:
        message = f"{device} does not multiply integers of eight bits by torchao"
        raise InputError(message, "keep weights in `int8`", "unsupported-by-device")
    stored = STORED[storage]
    own = {*(getattr(network, "_skip_layerwise_casting_patterns", None) or ())} - {"norm"}
    for name, layer in [*network.named_modules()]:
        left_out = any(re.search(pattern, name) for pattern in (*LEFT_OUT, *own))
        if isinstance(layer, nn.Linear | nn.Conv2d) and not isinstance(layer, PackedLayer) and not left_out:
            pack(layer, stored(layer.weight.data), layer.weight.dtype)


def in_eight_bits(weight: Tensor, storage: str, kind: type[ScaledNumbers] = ScaledNumbers) -> ScaledNumbers:
    """A weight `[row, ...]` in eight bits."""
    dtype, most = LARGEST[storage]
    rows = weight.float().flatten(1)
    scale = (rows.abs().amax(dim=1, keepdim=True) / most).clamp(min=torch.finfo(torch.float32).tiny)
    numbers = rows / scale
    kept = (numbers if dtype.is_floating_point else numbers.round()).clamp(-most, most).to(dtype)
    return kind(kept.reshape(weight.shape), scale)


class NormalNumbers(PackedNumbers):
    """Four-bit numbers, two in a byte, the first in its upper half.

    Args:
        numbers: `[row, byte]`.
        scales: the largest magnitude of each block `[row, block]`.
        shape: of the weight.
    """

    numbers: Tensor
    scales: Tensor

    def __init__(self, numbers: Tensor, scales: Tensor, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = shape
        self.register_buffer("numbers", numbers, persistent=False)
        self.register_buffer("scales", scales, persistent=False)

    def unpacked(self, dtype: torch.dtype) -> Tensor:
        length = math.prod(self.shape[1:])
        wide = _by_kernel(self.numbers, self.scales) if self.numbers.is_cuda and _has_kernel() else self._widened()
        return wide[:, :length].reshape(self.shape).to(dtype)

    def _widened(self) -> Tensor:
        levels = torch.tensor(LEVELS, dtype=torch.float32, device=self.numbers.device)
        places = torch.stack((self.numbers >> 4, self.numbers & 15), dim=-1)
        blocks = levels[places.int()].reshape(*self.scales.shape, BLOCK)
        return (blocks * self.scales[..., None]).flatten(1)

    def rows(self, index: Tensor | slice) -> NormalNumbers:
        numbers = self.numbers[index]
        return NormalNumbers(numbers, self.scales[index], (len(numbers), *self.shape[1:]))


def in_four_bits(weight: Tensor) -> NormalNumbers:
    """A weight `[row, ...]` in four bits."""
    rows = weight.float().flatten(1)
    blocks = pad(rows, (0, -rows.shape[1] % BLOCK)).reshape(len(rows), -1, BLOCK)
    scales = blocks.abs().amax(dim=2)
    numbers = blocks / scales.clamp(min=torch.finfo(torch.float32).tiny)[..., None]
    levels = torch.tensor(LEVELS, dtype=torch.float32, device=weight.device)
    places = torch.bucketize(numbers, (levels[1:] + levels[:-1]) / 2).byte().flatten(1)
    return NormalNumbers(places[:, ::2] << 4 | places[:, 1::2], scales, tuple(weight.shape))


def _has_kernel() -> bool:
    return find_spec("bitsandbytes") is not None


def _by_kernel(numbers: Tensor, scales: Tensor) -> Tensor:
    """The numbers times their scales, by bitsandbytes' kernel."""
    from bitsandbytes import functional

    shape = (len(scales), scales.shape[1] * BLOCK)
    levels = torch.tensor(LEVELS, dtype=torch.float32, device=numbers.device)
    state: Any = functional.QuantState(scales.reshape(-1), shape, levels, BLOCK, quant_type="nf4", dtype=torch.float32)
    wide: Tensor = functional.dequantize_4bit(numbers.reshape(-1, 1), state)
    return wide.reshape(shape)


STORED: Mapping[str, Callable[[Tensor], PackedNumbers]] = {
    "fp8": partial(in_eight_bits, storage="fp8"),
    "int8": partial(in_eight_bits, storage="int8"),
    "int8_dynamic": partial(in_eight_bits, storage="int8", kind=IntegerNumbers),
    "nf4": in_four_bits,
}
"""Packs a weight, by the name of a storage."""
