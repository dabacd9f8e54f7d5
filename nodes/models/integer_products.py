"""Weights in integers of eight bits that layers multiply in integers, by torchao.

What enters a layer is rounded to eight bits too, with a scale for each of its rows. Imports torch; torchao is imported
with the first product.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from weft.nodes.models.packed_weights import ScaledNumbers

DEVICES = ("cpu", "cuda", "xpu")
"""The kinds of devices that torchao multiplies integers on."""


class IntegerNumbers(ScaledNumbers):
    """Integers of eight bits `[row, ...]` with a scale for each row."""

    def linear(self, given: Tensor, dtype: torch.dtype, bias: Tensor | None) -> Tensor:
        from torchao.quantization import Int8Tensor, PerRow
        from torchao.quantization.quantize_.workflows.int8.int8_tensor import QuantizeTensorToInt8Kwargs

        rounded = QuantizeTensorToInt8Kwargs(granularity=PerRow())
        kind: Any = Int8Tensor
        block = [1, self.numbers.shape[1]]
        weight: Tensor = kind(self.numbers, self.scale, block, given.dtype, act_quant_kwargs=rounded)
        return torch.nn.functional.linear(given, weight, bias)
