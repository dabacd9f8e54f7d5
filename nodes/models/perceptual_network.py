"""LPIPS: what the file of a network says, and the distance of pictures by it (https://arxiv.org/abs/1801.03924).

A file has the names of the authors' package: `net.sliceN.M.weight` for the convolutions of VGG-16 or AlexNet, and
`linN.model.1.weight` for the weights of channels. Importing this module imports no torch.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from weft.nodes.models.network_calls import network_call
from weft.nodes.models.safetensors_header import Shapes

if TYPE_CHECKING:
    from torch import Tensor, nn

CONVOLUTION = re.compile(r"net\.slice(?P<slice>[1-5])\.(?P<number>\d+)\.weight")

LINEAR = "lin{}.model.1.weight"

SLICES = 5
"""Depths at which pictures are compared."""

SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
"""What levels in -1..1 are shifted and divided by, for red, green and blue."""

SMALLEST = 1e-10
"""Added to the length of a vector, so that one of zeros is not divided by 0."""


@dataclass(frozen=True)
class PerceptualFacts:
    """What the header says.

    Args:
        name: `vgg` or `alex`.
        convolutions: what the names of the tensors of each begin with, by slice, in order.
    """

    name: str
    convolutions: tuple[tuple[str, ...], ...]


def perceptual_facts(shapes: Shapes) -> PerceptualFacts | None:
    """What shapes say of LPIPS's network over VGG-16 or AlexNet; None where they are of something else."""
    found = [match for name in shapes if (match := CONVOLUTION.fullmatch(name)) and len(shapes[name]) == 4]
    if not found or any(LINEAR.format(number) not in shapes for number in range(SLICES)):
        return None
    ordered = sorted(found, key=lambda match: int(match["number"]))
    slices = tuple(
        tuple(match[0].removesuffix("weight") for match in ordered if int(match["slice"]) == number)
        for number in range(1, SLICES + 1)
    )
    first = shapes[f"{slices[0][0]}weight"] if all(slices) else ()
    name = {3: "vgg", 11: "alex"}.get(first[-1] if first else 0)
    return PerceptualFacts(name, slices) if name else None


class PerceptualModel:
    """The convolutions of a network by depth, and the weights of their channels.

    Args:
        parts: a module for each depth, which goes on from the one before.
        weights: of the channels of each depth `[1, channel, 1, 1]`.
    """

    def __init__(self, parts: Sequence[nn.Module], weights: Sequence[nn.Parameter]) -> None:
        from torch import nn

        self.parts = nn.ModuleList(parts)
        self.weights = nn.ParameterList(weights)

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        """The modules whose weights the residency counts."""
        return (self.parts, self.weights)

    def distance(self, picture: Tensor, other: Tensor) -> float:
        """LPIPS of two pictures `[height, width, 3]` in 0..1, of one size."""
        import torch

        device = self.weights[0].device
        pair = torch.stack([picture, other]).movedim(-1, 1).to(device) * 2 - 1
        shift, scale = (torch.tensor(one, device=device)[:, None, None] for one in (SHIFT, SCALE))
        levels, total = (pair - shift) / scale, 0.0
        with network_call("LPIPS's network", {"pictures": pair}):
            for part, weight in zip(self.parts, self.weights, strict=True):
                levels = part(levels)
                a, b = levels / (levels.square().sum(1, keepdim=True).sqrt() + SMALLEST)
                total += float(((a - b).square()[None] * weight).sum(1).mean())
        return total


def load_perceptual(file: Path, facts: PerceptualFacts, device: str) -> PerceptualModel:
    """The network of a file, in float32."""
    import torch
    from torch import nn

    from weft.nodes.models.loading import ready
    from weft.nodes.models.single_file import tensors

    found = tensors(file, "", torch.float32)
    parts = []
    for depth, names in enumerate(facts.convolutions):
        layers: list[nn.Module] = []
        if facts.name == "vgg" and depth:
            layers.append(nn.MaxPool2d(2, 2))
        elif facts.name == "alex" and depth in (1, 2):
            layers.append(nn.MaxPool2d(3, 2))
        for name in names:
            layers += [_convolution(found[f"{name}weight"], found[f"{name}bias"]), nn.ReLU()]
        parts.append(nn.Sequential(*layers))
    model = PerceptualModel(parts, [nn.Parameter(found[LINEAR.format(number)]) for number in range(SLICES)])
    for network in model.networks:
        ready(network, device)
    return model


def _convolution(weight: Tensor, bias: Tensor) -> nn.Module:
    """A convolution as VGG-16 and AlexNet have those of its size."""
    import torch
    from torch import nn

    made, given, size, _ = weight.shape
    stride, padding = (4, 2) if size == 11 else (1, size // 2)
    with torch.device("meta"):
        layer = nn.Conv2d(given, made, size, stride, padding)
    layer.load_state_dict({"weight": weight, "bias": bias}, assign=True)
    return layer
