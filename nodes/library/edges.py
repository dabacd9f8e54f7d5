"""Edges of pictures: FindEdges, for ControlNets that follow edges."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from weft.engine import Range, node
from weft.nodes.sizes import SizeTraits, same_size
from weft.nodes.values import Image

if TYPE_CHECKING:
    from torch import Tensor

THRESHOLD = 0.12
"""The threshold on the gradient that made the training data of `builtin:landscapes-edges`."""


@node(category="image", lane="cpu", traits=(SizeTraits(same_size, of="image"),))
def FindEdges(image: Image, *, threshold: Annotated[float, Range(0.0, 0.7)] = THRESHOLD) -> Image:
    """Draw a picture's edges, thin and white on black.

    `builtin:landscapes-edges` was trained on pictures from this node.

    Args:
        image: alpha is left out.
        threshold: the least gradient of an edge, where a step from black to white over one pixel is 1; the greatest
            possible gradient is just above 0.7.
    """
    found = edges_of(image.pixels[..., :3].permute(0, 3, 1, 2), threshold)
    return Image(found.permute(0, 2, 3, 1).expand(-1, -1, -1, 3).contiguous())


def edges_of(pictures: Tensor, threshold: float = THRESHOLD) -> Tensor:
    """Thin edges of pictures in 0..1 `[batch, 3, height, width]`: 1 on an edge, else 0, `[batch, 1, height, width]`.

    An edge is a pixel whose gradient (central differences, the largest of the three channels) exceeds `threshold` and
    is the largest along the axis it mostly points to.
    """
    import torch
    from torch.nn import functional

    padded = functional.pad(pictures, (1, 1, 1, 1), mode="replicate")
    across = ((padded[:, :, 1:-1, 2:] - padded[:, :, 1:-1, :-2]) / 2).abs().amax(1, keepdim=True)
    down = ((padded[:, :, 2:, 1:-1] - padded[:, :, :-2, 1:-1]) / 2).abs().amax(1, keepdim=True)
    strength = torch.hypot(across, down)
    along_x = functional.max_pool2d(strength, (1, 3), stride=1, padding=(0, 1))
    along_y = functional.max_pool2d(strength, (3, 1), stride=1, padding=(1, 0))
    largest = strength >= torch.where(across >= down, along_x, along_y)
    return (largest & (strength > threshold)).float()
