"""Masks that are drawn: rectangles, ellipses, gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor

MaskShape = Literal["rectangle", "ellipse", "gradient right", "gradient left", "gradient down", "gradient up"]


def shaped(width: int, height: int, shape: MaskShape, box: tuple[float, float, float, float]) -> Tensor:
    """A mask `[height, width]`; a pixel counts by its middle.

    Args:
        box: left, top, right and bottom in shares of the width and the height.
    """
    import torch

    left, top, right, bottom = box
    x = ((torch.arange(width) + 0.5) / width)[None, :]
    y = ((torch.arange(height) + 0.5) / height)[:, None]
    if shape == "rectangle":
        return ((x >= left) & (x < right) & (y >= top) & (y < bottom)).float()
    across, down = max(right - left, 1e-9), max(bottom - top, 1e-9)
    if shape == "ellipse":
        return (((2 * x - left - right) / across) ** 2 + ((2 * y - top - bottom) / down) ** 2 <= 1).float()
    rising = ((x - left) / across if shape in ("gradient right", "gradient left") else (y - top) / down).clamp(0, 1)
    rising = rising.expand(height, width)
    return (1 - rising if shape in ("gradient left", "gradient up") else rising).contiguous()
