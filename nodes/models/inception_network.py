"""FID's Inception network, up to the vectors that FID compares.

Inception v3 (https://arxiv.org/abs/1512.00567) as the weights of FID were trained: means next to borders count what is
inside alone, and the last block takes the greatest in place of a mean. Pictures are enlarged as TensorFlow 1 did it.
Imports torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy
import PIL.Image
import torch
from torch import Tensor, nn
from torch.nn import functional

from weft.engine import InputError
from weft.nodes.models.loading import ready
from weft.nodes.models.network_calls import network_call
from weft.nodes.models.single_file import tensors

SIDE = 299
"""Pixels along the sides of what the network sees."""


class _Conv(nn.Module):
    """A convolution without bias, normalised, and cut off below 0."""

    def __init__(self, given: int, made: int, size: int | tuple[int, int], stride: int = 1, pad: bool = False) -> None:
        super().__init__()
        high, wide = size if isinstance(size, tuple) else (size, size)
        padding = (high // 2, wide // 2) if pad else (0, 0)
        self.conv = nn.Conv2d(given, made, (high, wide), stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(made, eps=0.001)

    def forward(self, levels: Tensor) -> Tensor:
        return functional.relu(self.bn(self.conv(levels)))


def _mean(levels: Tensor) -> Tensor:
    return functional.avg_pool2d(levels, 3, 1, 1, count_include_pad=False)


def _greatest(levels: Tensor) -> Tensor:
    return functional.max_pool2d(levels, 3, 2)


class _A(nn.Module):
    def __init__(self, given: int, pooled: int) -> None:
        super().__init__()
        self.branch1x1 = _Conv(given, 64, 1)
        self.branch5x5_1, self.branch5x5_2 = _Conv(given, 48, 1), _Conv(48, 64, 5, pad=True)
        self.branch3x3dbl_1, self.branch3x3dbl_2 = _Conv(given, 64, 1), _Conv(64, 96, 3, pad=True)
        self.branch3x3dbl_3 = _Conv(96, 96, 3, pad=True)
        self.branch_pool = _Conv(given, pooled, 1)

    def forward(self, x: Tensor) -> Tensor:
        five = self.branch5x5_2(self.branch5x5_1(x))
        three = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch1x1(x), five, three, self.branch_pool(_mean(x))], 1)


class _B(nn.Module):
    def __init__(self, given: int) -> None:
        super().__init__()
        self.branch3x3 = _Conv(given, 384, 3, 2)
        self.branch3x3dbl_1, self.branch3x3dbl_2 = _Conv(given, 64, 1), _Conv(64, 96, 3, pad=True)
        self.branch3x3dbl_3 = _Conv(96, 96, 3, 2)

    def forward(self, x: Tensor) -> Tensor:
        three = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch3x3(x), three, _greatest(x)], 1)


class _C(nn.Module):
    def __init__(self, given: int, inner: int) -> None:
        super().__init__()
        across, down = (1, 7), (7, 1)
        self.branch1x1 = _Conv(given, 192, 1)
        self.branch7x7_1, self.branch7x7_2 = _Conv(given, inner, 1), _Conv(inner, inner, across, pad=True)
        self.branch7x7_3 = _Conv(inner, 192, down, pad=True)
        self.branch7x7dbl_1, self.branch7x7dbl_2 = _Conv(given, inner, 1), _Conv(inner, inner, down, pad=True)
        self.branch7x7dbl_3, self.branch7x7dbl_4 = (_Conv(inner, inner, one, pad=True) for one in (across, down))
        self.branch7x7dbl_5 = _Conv(inner, 192, across, pad=True)
        self.branch_pool = _Conv(given, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        once = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        twice = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        twice = self.branch7x7dbl_5(self.branch7x7dbl_4(twice))
        return torch.cat([self.branch1x1(x), once, twice, self.branch_pool(_mean(x))], 1)


class _D(nn.Module):
    def __init__(self, given: int) -> None:
        super().__init__()
        self.branch3x3_1, self.branch3x3_2 = _Conv(given, 192, 1), _Conv(192, 320, 3, 2)
        self.branch7x7x3_1, self.branch7x7x3_2 = _Conv(given, 192, 1), _Conv(192, 192, (1, 7), pad=True)
        self.branch7x7x3_3, self.branch7x7x3_4 = _Conv(192, 192, (7, 1), pad=True), _Conv(192, 192, 3, 2)

    def forward(self, x: Tensor) -> Tensor:
        seven = self.branch7x7x3_4(self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x))))
        return torch.cat([self.branch3x3_2(self.branch3x3_1(x)), seven, _greatest(x)], 1)


class _E(nn.Module):
    def __init__(self, given: int, greatest: bool) -> None:
        super().__init__()
        self.greatest = greatest
        self.branch1x1 = _Conv(given, 320, 1)
        self.branch3x3_1 = _Conv(given, 384, 1)
        self.branch3x3_2a, self.branch3x3_2b = _Conv(384, 384, (1, 3), pad=True), _Conv(384, 384, (3, 1), pad=True)
        self.branch3x3dbl_1, self.branch3x3dbl_2 = _Conv(given, 448, 1), _Conv(448, 384, 3, pad=True)
        self.branch3x3dbl_3a = _Conv(384, 384, (1, 3), pad=True)
        self.branch3x3dbl_3b = _Conv(384, 384, (3, 1), pad=True)
        self.branch_pool = _Conv(given, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        three = self.branch3x3_1(x)
        twice = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        pooled = functional.max_pool2d(x, 3, 1, 1) if self.greatest else _mean(x)
        parts = [self.branch3x3_2a(three), self.branch3x3_2b(three)]
        parts += [self.branch3x3dbl_3a(twice), self.branch3x3dbl_3b(twice)]
        return torch.cat([self.branch1x1(x), *parts, self.branch_pool(pooled)], 1)


class InceptionNetwork(nn.Module):
    """The network; modules have the names of the file."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = _Conv(3, 32, 3, 2)
        self.Conv2d_2a_3x3 = _Conv(32, 32, 3)
        self.Conv2d_2b_3x3 = _Conv(32, 64, 3, pad=True)
        self.Conv2d_3b_1x1 = _Conv(64, 80, 1)
        self.Conv2d_4a_3x3 = _Conv(80, 192, 3)
        self.Mixed_5b, self.Mixed_5c, self.Mixed_5d = _A(192, 32), _A(256, 64), _A(288, 64)
        self.Mixed_6a = _B(288)
        self.Mixed_6b, self.Mixed_6c, self.Mixed_6d = _C(768, 128), _C(768, 160), _C(768, 160)
        self.Mixed_6e = _C(768, 192)
        self.Mixed_7a = _D(768)
        self.Mixed_7b, self.Mixed_7c = _E(1280, greatest=False), _E(2048, greatest=True)

    def forward(self, levels: Tensor) -> Tensor:
        """The vectors `[picture, 2048]` of pictures in -1..1."""
        x = _greatest(self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(levels))))
        x = _greatest(self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x)))
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(x)))
        x = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))))
        vectors: Tensor = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x))).mean((2, 3))
        return vectors


class InceptionModel:
    """The network with what prepares pictures for it; it has the methods of `TaskModel` that FID uses."""

    def __init__(self, network: InceptionNetwork) -> None:
        self.network = network

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        """The modules whose weights the residency counts."""
        return (self.network,)

    def features(self, pictures: Sequence[PIL.Image.Image]) -> Tensor:
        """The vector `[picture, channel]` of each picture."""
        weight = self.network.Conv2d_1a_3x3.conv.weight
        prepared = [_enlarged(torch.from_numpy(numpy.array(one)).movedim(-1, 0)[None]) for one in pictures]
        levels = ((torch.cat(prepared) - 128) / 128).to(weight.device, weight.dtype)
        with network_call("FID's Inception network", {"picture": levels}):
            vectors: Tensor = self.network(levels).float().cpu()
        return vectors


def _enlarged(levels: Tensor) -> Tensor:
    """Levels `[1, channel, height, width]` at the network's size: bilinear, from the corners of pixels."""
    for axis in (2, 3):
        length = levels.shape[axis]
        places = torch.arange(SIDE, dtype=torch.float32) * (length / SIDE)
        below = places.long()
        above = (below + 1).clamp(max=length - 1)
        share = (places - below).reshape([-1 if one == axis else 1 for one in range(4)])
        low, high = levels.index_select(axis, below).float(), levels.index_select(axis, above).float()
        levels = low + (high - low) * share
    return levels


def load_inception(name: str, file: Path, dtype: torch.dtype, device: str) -> InceptionModel:
    """The network of a file.

    Raises:
        InputError: where the file lacks some of it.
    """
    with torch.device("meta"):
        network = InceptionNetwork()
    found = {key: one for key, one in tensors(file, "", dtype).items() if not key.startswith("fc.")}
    counted = {key for key in network.state_dict() if key.endswith("num_batches_tracked")}
    found |= dict.fromkeys(counted - found.keys(), torch.tensor(0))
    missing = sorted(network.state_dict().keys() - found.keys())
    if missing:
        raise InputError(f"`{name}` lacks {missing[0]}", "get the file again", "missing-weights")
    network.load_state_dict(found, strict=False, assign=True)
    return InceptionModel(ready(network, device))
