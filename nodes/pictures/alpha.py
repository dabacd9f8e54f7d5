"""Filters on pictures with transparency: colours are weighted by alpha, so that those of hidden pixels do not show."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def weighted(pixels: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """Pixels after a linear filter of their channels; colours are multiplied by alpha before, and divided by it after.

    Pictures without alpha, and those that are opaque throughout, are given to the filter as they are.
    """
    import torch

    if pixels.shape[-1] != 4 or bool((pixels[..., 3] == 1).all()):
        return change(pixels)
    colours, alpha = pixels[..., :3], pixels[..., 3:]
    changed = change(torch.cat([colours * alpha, alpha], dim=-1))
    colours, alpha = changed[..., :3], changed[..., 3:]
    visible = alpha > 1e-6
    plain = torch.where(visible, colours / alpha.clamp(min=1e-6), torch.zeros_like(colours))
    return torch.cat([plain.clamp(max=max(1.0, float(pixels[..., :3].max()))), alpha], dim=-1)
