"""Between two tensors: along a line, along an arc, and with weights that keep the variance of noise.

Importing this module imports no torch.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

NEARLY_PARALLEL = 0.9995
"""The cosine from which on an arc is a line."""


def linear(first: Tensor, second: Tensor, amount: float) -> Tensor:
    """(1 - amount) x first + amount x second."""
    return (1 - amount) * first + amount * second


def spherical(first: Tensor, second: Tensor, amount: float) -> Tensor:
    """Along the arc between two batches of items `[batch, ...]`: slerp (Shoemake, 1985, section 3.3).

    sin((1 - t) omega) / sin(omega) x first + sin(t omega) / sin(omega) x second, with omega the angle between the two
    items as vectors. Vectors of other lengths than 1 are weighted so too, as in diffusers and as DALL-E 2's
    interpolations (https://arxiv.org/abs/2204.06125, section 3.2) are made. Items that point nearly the same way, or
    the opposite way, are interpolated along a line.
    """
    import torch

    one, other = first.flatten(1).double(), second.flatten(1).double()
    lengths = one.norm(dim=1) * other.norm(dim=1)
    cosine = torch.where(lengths > 0, (one * other).sum(1) / lengths.clamp(min=1e-300), torch.ones_like(lengths))
    omega = cosine.clamp(-1, 1).acos()
    straight = cosine.abs() > NEARLY_PARALLEL
    sine = torch.where(straight, torch.ones_like(omega), omega.sin())
    weights = (((1 - amount) * omega).sin() / sine, (amount * omega).sin() / sine)
    lines = (torch.full_like(omega, 1 - amount), torch.full_like(omega, amount))
    before, after = (torch.where(straight, line, arc) for line, arc in zip(lines, weights, strict=True))
    shape = (-1, *[1] * (first.ndim - 1))
    return (before.view(shape) * first.double() + after.view(shape) * second.double()).float()


def by_angle(amount: float) -> tuple[float, float]:
    """The weights of two noises at an angle between them: 0 is the first, 1 the second, a quarter turn on."""
    angle = amount * math.pi / 2
    return math.cos(angle), math.sin(angle)


def by_variance(amount: float) -> tuple[float, float]:
    """The weights of two noises by their shares of the variance."""
    return math.sqrt(1 - amount), math.sqrt(amount)
