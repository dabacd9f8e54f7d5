"""How far pictures are from each other, and how sharp they are. Computed in float64."""

from __future__ import annotations

from typing import TYPE_CHECKING

from weft.nodes.pictures.colours import brightness_of

if TYPE_CHECKING:
    from torch import Tensor

WINDOW = 11
"""Pixels across the window of SSIM."""

DEVIATION = 1.5
"""The standard deviation of its Gaussian, in pixels."""

FIRST, SECOND = 0.01**2, 0.03**2
"""What keeps its two fractions finite, for levels in 0..1."""


def peak_ratios(pictures: Tensor, others: Tensor) -> Tensor:
    """The peak signal-to-noise ratio of each picture in dB, for levels in 0..1; infinite for equal pictures.

    Args:
        pictures: `[picture, height, width, channel]`.
        others: of the same shape.
    """
    return -10 * (pictures.double() - others.double()).square().mean((1, 2, 3)).log10()


def structural_similarities(pictures: Tensor, others: Tensor) -> Tensor:
    """The mean SSIM of each picture, for levels in 0..1, over channels and all whole windows.

    Wang et al. 2004 (https://doi.org/10.1109/TIP.2003.819861), with the window of the paper.

    Args:
        pictures: `[picture, height, width, channel]`, each side of `WINDOW` pixels at least.
        others: of the same shape.
    """
    import torch

    pairs = zip(pictures, others, strict=True)  # one by one: the maps of a large picture take a gigabyte
    return torch.cat([_similarity(*(one[None].double().movedim(-1, 1) for one in pair)) for pair in pairs])


def _similarity(a: Tensor, b: Tensor) -> Tensor:
    mean_a, mean_b = _averaged(a), _averaged(b)
    variance_a, variance_b = _averaged(a * a) - mean_a**2, _averaged(b * b) - mean_b**2
    covariance = _averaged(a * b) - mean_a * mean_b
    light = (2 * mean_a * mean_b + FIRST) / (mean_a**2 + mean_b**2 + FIRST)
    structure = (2 * covariance + SECOND) / (variance_a + variance_b + SECOND)
    return (light * structure).mean((1, 2, 3))


def _averaged(levels: Tensor) -> Tensor:
    """Means `[picture, channel, height, width]` under a Gaussian window, where the window is inside the picture."""
    import torch
    from torch.nn import functional

    places = torch.arange(WINDOW, dtype=torch.float64) - WINDOW // 2
    weights = (-(places**2) / (2 * DEVIATION**2)).exp()
    weights = (weights / weights.sum())[None, None]
    count, channels, high, wide = levels.shape
    flat = levels.reshape(count * channels, 1, high, wide)
    flat = functional.conv2d(functional.conv2d(flat, weights[..., None]), weights[:, :, None])
    return flat.reshape(count, channels, *flat.shape[-2:])


def sharpnesses(pictures: Tensor) -> list[float]:
    """The variance of the Laplacian of each picture's brightness, for levels in 0..255, as OpenCV has it.

    Args:
        pictures: `[picture, height, width, channel]` in 0..1.
    """
    from scipy import ndimage

    grey = 255 * brightness_of(pictures)[..., 0].double().numpy()
    return [float(ndimage.laplace(one, mode="mirror").var()) for one in grey]
