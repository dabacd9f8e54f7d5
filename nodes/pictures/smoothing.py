"""Pixels blurred and sharpened, masks grown: filters of a neighbourhood, by scipy, on floating-point levels.

Beyond its edge a picture goes on with its outermost pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from weft.nodes.pictures.alpha import weighted

if TYPE_CHECKING:
    from torch import Tensor

Blur = Literal["gaussian", "box", "median"]

Shape = Literal["round", "square"]


def blurred(pixels: Tensor, radius: float, kind: Blur = "gaussian", reach: int | None = None) -> Tensor:
    """Pixels mixed with those around them; equal ones where the radius is 0.

    Args:
        radius: the standard deviation of `gaussian`; of the others, pixels on each side of the middle one.
        reach: pixels on each side that `gaussian` reaches; those beyond an edge are its mirror then. None is four
            deviations, and beyond an edge lies what lies at it.
    """
    if radius == 0 or (kind != "gaussian" and radius < 0.5):
        return pixels
    if kind == "gaussian" and reach is not None:
        return weighted(pixels, lambda levels: _reaching(levels, radius, reach))
    return weighted(pixels, lambda levels: _filtered(levels, radius, kind))


def _filtered(pixels: Tensor, radius: float, kind: Blur) -> Tensor:
    import torch
    from scipy import ndimage

    levels, side = pixels.numpy(), 2 * round(radius) + 1
    if kind == "gaussian":
        made = ndimage.gaussian_filter(levels, (0, radius, radius, 0), mode="nearest")
    elif kind == "box":
        made = ndimage.uniform_filter(levels, (1, side, side, 1), mode="nearest")
    else:
        made = ndimage.median_filter(levels, (1, side, side, 1), mode="nearest")
    return torch.from_numpy(made)


def _reaching(pixels: Tensor, radius: float, reach: int) -> Tensor:
    """A Gaussian of so many pixels on each side."""
    import numpy
    import torch
    from scipy import ndimage

    kernel = numpy.exp(-((numpy.arange(-reach, reach + 1) / radius) ** 2) / 2)
    rows = ndimage.correlate1d(pixels.numpy(), kernel / kernel.sum(), axis=1, mode="mirror")
    return torch.from_numpy(ndimage.correlate1d(rows, kernel / kernel.sum(), axis=2, mode="mirror"))


def sharpened(pixels: Tensor, radius: float, amount: float, threshold: float, reach: int | None = None) -> Tensor:
    """Unsharp masking: the difference to the blurred pixels is added, where it is larger than a threshold."""
    import torch

    difference = pixels - blurred(pixels, radius, reach=reach)
    return pixels + amount * torch.where(difference.abs() > threshold, difference, torch.zeros_like(difference))


def grown(coverage: Tensor, pixels: int, shape: Shape) -> Tensor:
    """Masks `[batch, height, width]` larger by so many pixels on each side; below 0 smaller."""
    import torch

    if pixels == 0:
        return coverage
    if pixels < 0:
        return 1 - grown(1 - coverage, -pixels, shape)
    return torch.stack([_largest(one, pixels, shape) for one in coverage])


def _largest(coverage: Tensor, pixels: int, shape: Shape) -> Tensor:
    """The largest value within so many pixels."""
    import torch
    from scipy import ndimage

    levels = coverage.numpy()
    if shape == "square":
        return torch.from_numpy(ndimage.maximum_filter(levels, 2 * pixels + 1, mode="nearest"))
    if ((levels == 0) | (levels == 1)).all():  # the distance to the mask takes as long for any radius
        distances = ndimage.distance_transform_edt(levels == 0) if levels.any() else levels + pixels + 1
        return torch.from_numpy((distances <= pixels + 0.5).astype("float32"))
    ball = _disc(pixels)
    return torch.from_numpy(ndimage.maximum_filter(levels, footprint=ball, mode="nearest"))


def _disc(radius: int) -> object:
    import numpy

    rows, columns = numpy.ogrid[-radius : radius + 1, -radius : radius + 1]
    return rows**2 + columns**2 <= (radius + 0.5) ** 2
