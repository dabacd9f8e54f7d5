"""Files that rate pictures by their CLIP vectors: linear layers in a row, as LAION publishes them. Imports no torch."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from weft.engine import InputError
from weft.nodes.models.safetensors_header import Shapes

if TYPE_CHECKING:
    from torch import nn

LAYER = re.compile(r"(?P<prefix>(?:[a-z_]+\.)*?)(?:(?P<number>\d+)\.)?(?P<role>weight|bias)")
"""The name of a tensor: `layers.0.weight`, `mlp.0.weight`, or `weight` alone."""


@dataclass(frozen=True)
class AestheticHeadFacts:
    """What the header of a head says.

    Args:
        layers: what the names of each layer's tensors begin with, in order.
        channels: of the vector that it reads.
    """

    layers: tuple[str, ...]
    channels: int


def aesthetic_head_facts(shapes: Shapes) -> AestheticHeadFacts | None:
    """What shapes say of a head: linear layers that follow each other, from a vector to one number; None if others."""
    found = {name: match for name in shapes if (match := LAYER.fullmatch(name))}
    if not found or len(found) != len(shapes) or len({match["prefix"] for match in found.values()}) > 1:
        return None
    numbers = sorted({int(match["number"] or 0) for match in found.values()})
    prefix = next(iter(found.values()))["prefix"]
    layers = tuple(f"{prefix}{number}." if f"{prefix}{number}.weight" in shapes else prefix for number in numbers)
    channels = width = shapes.get(f"{layers[0]}weight", (0, 0))[-1]
    for layer in layers:
        weight, bias = shapes.get(f"{layer}weight", ()), shapes.get(f"{layer}bias", ())
        if len(weight) != 2 or weight[1] != width or tuple(bias) != tuple(weight[:1]):
            return None
        width = weight[0]
    return AestheticHeadFacts(layers, channels) if width == 1 else None


def load_aesthetic_head(file: Path, facts: AestheticHeadFacts, device: str) -> nn.Sequential:
    """The layers of a file, in float32.

    Raises:
        InputError: where tensors cannot be read.
    """
    import torch
    from torch import nn

    from weft.nodes.models.loading import ready
    from weft.nodes.models.single_file import tensors

    found = tensors(file, "", torch.float32)
    head = nn.Sequential()
    for layer in facts.layers:
        weight, bias = found[f"{layer}weight"], found[f"{layer}bias"]
        with torch.device("meta"):
            linear = nn.Linear(weight.shape[1], weight.shape[0])
        linear.load_state_dict({"weight": weight, "bias": bias}, assign=True)
        head.append(linear)
    return ready(head, device)


def wrong_width(head: int, vectors: int) -> InputError:
    """The refusal of vectors that a head does not read."""
    message = f"the head reads vectors of {head} channels, and the encoder makes {vectors}"
    return InputError(message, "use the encoder that it was trained with: CLIP ViT-L/14 for 768", "wrong-channels")
