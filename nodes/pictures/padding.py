"""Pixels with more around them: a colour, the pixels at the edge, or what mirrors them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor

Fill = Literal["colour", "edge", "reflect"]

Sides = tuple[int, int, int, int]
"""Pixels on the left, at the top, on the right and at the bottom."""


def padded(pixels: Tensor, sides: Sides, colour: tuple[float, float, float], fill: Fill = "colour") -> Tensor:
    """Pixels with more around them; colour is transparent where they have alpha, and 0 in masks."""
    import numpy
    import torch

    if not any(sides):
        return pixels
    left, top, right, bottom = sides
    if fill == "colour":
        batch, height, width, channels = pixels.shape
        whole = torch.zeros((batch, height + top + bottom, width + left + right, channels), dtype=torch.float32)
        if channels == 3:
            whole += torch.tensor(colour, dtype=torch.float32)
        elif channels == 4:
            whole[..., :3] = torch.tensor(colour, dtype=torch.float32)
        whole[:, top : top + height, left : left + width] = pixels
        return whole
    around = ((0, 0), (top, bottom), (left, right), (0, 0))
    # numpy reflects as often as it takes, torch only once.
    return torch.from_numpy(numpy.pad(pixels.numpy(), around, mode=fill))


def added(height: int, width: int, sides: Sides, feather: int) -> Tensor:
    """The mask `[height, width]` of what was added: 1 there, and falling to 0 over so many pixels inside.

    It falls where pixels were added, and along no other edge.
    """
    import torch

    left, top, right, bottom = sides
    whole_height, whole_width = height + top + bottom, width + left + right
    rows, columns = torch.arange(whole_height), torch.arange(whole_width)

    def inwards(places: Tensor, before: int, length: int, after: int) -> Tensor:
        far = torch.full(places.shape, float(feather + 1))
        from_start = (places - before + 1).float() if before else far
        from_end = (before + length - places).float() if after else far
        return torch.minimum(from_start, from_end)

    depth = torch.minimum(inwards(rows, top, height, bottom)[:, None], inwards(columns, left, width, right)[None])
    if not feather:
        return (depth <= 0).float()
    return (1 - depth / (feather + 1)).clamp(0, 1)
