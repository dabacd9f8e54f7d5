"""FID's Inception network: what the header of its file says. Imports no torch.

The weights are those that FID was defined with (https://arxiv.org/abs/1706.08500), by the names of the conversion that
all programs for PyTorch use (`pt_inception-2015-12-05`).
"""

from __future__ import annotations

from dataclasses import dataclass

from weft.engine import InputError
from weft.nodes.models.safetensors_header import Shapes

FIRST, LAST = "Conv2d_1a_3x3.conv.weight", "Mixed_7c.branch_pool.conv.weight"
"""Tensors that tell it."""


@dataclass(frozen=True)
class InceptionFacts:
    """What the header says.

    Args:
        channels: of the vector of a picture.
    """

    channels: int = 2048


def inception_facts(shapes: Shapes) -> InceptionFacts | None:
    """What the shapes of a file say of FID's Inception network; None where it is something else.

    Raises:
        InputError: for torchvision's network of this name, whose classes and weights are others.
    """
    if not {FIRST, LAST} <= shapes.keys():
        return None
    if shapes.get("fc.weight", (1008,))[0] == 1000:
        message = "the file is torchvision's Inception network, and FID is defined by another one"
        raise InputError(message, "give pt_inception-2015-12-05 as safetensors", "wrong-kind-of-file")
    return InceptionFacts()
