"""Layers whose weights stay in memory as their file has them, in fewer bytes than the network computes in.

A layer widens its weight for each call: numbers times scales, or GGUF's blocks, in float32 and rounded once to the
precision of the network. So it gives what a layer of the widened weights gives, bit for bit. What changes weights
(LoRAs, merges) stands next to the layer. Imports torch.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias, cast

import torch
from torch import Tensor, nn

from weft.nodes.models.gguf_header import BLOCKS
from weft.nodes.models.quantised_weights import scaled

Change: TypeAlias = Callable[[Tensor], Tensor]
"""Gives a changed weight, from it as it is, both in float32."""


class PackedNumbers(nn.Module):
    """The numbers of a weight in few bytes: buffers, so that they move between devices with their layer.

    Attributes:
        shape: of the weight.
    """

    shape: tuple[int, ...]

    @abstractmethod
    def unpacked(self, dtype: torch.dtype) -> Tensor:
        """The weight."""

    def linear(self, given: Tensor, dtype: torch.dtype, bias: Tensor | None) -> Tensor:
        """What a linear layer of these numbers gives that computes in this type."""
        return torch.nn.functional.linear(given, self.unpacked(dtype), bias)

    @abstractmethod
    def rows(self, index: Tensor | slice) -> PackedNumbers:
        """Some of its rows."""


class ScaledNumbers(PackedNumbers):
    """8-bit numbers with a scale for all, one for each row, or none.

    Args:
        numbers: `[row, ...]`.
        scale: of one element, or of one for each row.
    """

    numbers: Tensor
    scale: Tensor | None

    def __init__(self, numbers: Tensor, scale: Tensor | None = None) -> None:
        super().__init__()
        self.shape = tuple(numbers.shape)
        self.register_buffer("numbers", numbers, persistent=False)
        self.register_buffer("scale", scale, persistent=False)

    def unpacked(self, dtype: torch.dtype) -> Tensor:
        return self.numbers.to(dtype) if self.scale is None else scaled(self.numbers, self.scale, dtype)

    def rows(self, index: Tensor | slice) -> ScaledNumbers:
        of_rows = self.scale is not None and self.scale.numel() > 1
        numbers = self.numbers.view(torch.uint8)[index].view(self.numbers.dtype)
        return ScaledNumbers(numbers, self.scale[index] if of_rows and self.scale is not None else self.scale)


class BlockNumbers(PackedNumbers):
    """Numbers in GGUF's blocks.

    Args:
        blocks: the bytes of each row `[row, byte]`.
        kind: of the blocks, as GGUF calls it: `Q4_K`.
        shape: of the weight; None has a row of numbers for each of bytes.
    """

    blocks: Tensor

    def __init__(self, blocks: Tensor, kind: str, shape: tuple[int, ...] | None = None) -> None:
        super().__init__()
        self.kind = kind
        elements, size = BLOCKS[kind]
        self.shape = shape or (len(blocks), blocks.shape[1] // size * elements)
        self.register_buffer("blocks", blocks, persistent=False)

    def unpacked(self, dtype: torch.dtype) -> Tensor:
        import gguf
        from diffusers.quantizers.gguf import utils

        elements, size = BLOCKS[self.kind]
        widen: Any = utils.dequantize_functions[gguf.GGMLQuantizationType[self.kind]]
        wide: Tensor = widen(self.blocks.reshape(-1, size), elements, size, torch.float32)
        return wide.reshape(self.shape).to(dtype)

    def rows(self, index: Tensor | slice) -> BlockNumbers:
        blocks = self.blocks[index]
        return BlockNumbers(blocks, self.kind, (len(blocks), *self.shape[1:]))


class PackedLayer(nn.Module):
    """A layer of torch whose weight is packed.

    Attributes:
        packed: the numbers of its weight.
        precision: that it computes in.
        change: what a patch makes of the weight; None leaves it.
    """

    packed: PackedNumbers
    precision: torch.dtype
    change: Change | None

    @property
    def weight(self) -> Tensor:
        """The weight in the precision that the layer computes in, made for each use."""
        return self._widened(self.packed)

    def _widened(self, packed: PackedNumbers) -> Tensor:
        if self.change is None:
            return packed.unpacked(self.precision)
        return self.change(packed.unpacked(torch.float32)).to(self.precision)


class PackedLinear(PackedLayer, nn.Linear):  # type: ignore[override]
    """A linear layer."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input) if self.change else self.packed.linear(input, self.precision, self.bias)


class PackedConvolution(PackedLayer, nn.Conv2d):  # type: ignore[override]
    """A convolution."""


class PackedEmbedding(PackedLayer, nn.Embedding):  # type: ignore[override]
    """A table of which the rows that are read are widened."""

    def forward(self, input: Tensor) -> Tensor:
        if self.change is not None:
            return super().forward(input)
        rows = self.packed.rows(input.flatten()).unpacked(self.precision)
        return rows.reshape(*input.shape, -1)


KINDS: Mapping[type[nn.Module], type[PackedLayer]] = {
    nn.Linear: PackedLinear,
    nn.Conv2d: PackedConvolution,
    nn.Embedding: PackedEmbedding,
}
"""The layers that may have packed weights."""


def pack(layer: nn.Module, packed: PackedNumbers, precision: torch.dtype) -> bool:
    """Make a layer one of a packed weight in place of its own; gives whether it is of a kind that can have one."""
    kind = KINDS.get(type(layer))
    if kind is None or tuple(layer._parameters["weight"].shape) != packed.shape:  # type: ignore[union-attr]
        return False
    del layer._parameters["weight"]
    layer.__class__ = kind
    changed = cast(PackedLayer, layer)
    changed.packed, changed.precision, changed.change = packed, precision, None
    return True


def packed_layers(network: nn.Module) -> Iterator[tuple[str, PackedLayer]]:
    """The layers of a network that have packed weights, by name."""
    return ((name, one) for name, one in network.named_modules() if isinstance(one, PackedLayer))


def weight_shapes(network: nn.Module) -> dict[str, tuple[int, ...]]:
    """The shapes of the weights of a network, those that are packed too."""
    found = {name: tuple(one.shape) for name, one in network.named_parameters()}
    return found | {f"{name}.weight": layer.packed.shape for name, layer in packed_layers(network)}
