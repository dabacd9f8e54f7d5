"""Colours of pictures changed: levels, brightness, contrast, saturation, hue, and the look of another picture.

Colours `[batch, height, width, 3]`, alpha left out. Brightness weighs red, green and blue as ITU-R BT.601, as Pillow
does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor

Matching = Literal["mean", "covariance", "histogram"]

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in brightness (ITU-R BT.601)."""


def brightness_of(colours: Tensor) -> Tensor:
    """`[batch, height, width, 1]`."""
    import torch

    return (colours @ torch.tensor(LUMA, dtype=torch.float32))[..., None]


def adjusted(colours: Tensor, brightness: float, contrast: float, saturation: float, gamma: float) -> Tensor:
    """Colours after factors that 1 leaves alone, in this order; as Pillow's `ImageEnhance`, without its rounding.

    Contrast turns about the mean brightness of each picture, saturation about each pixel's own.
    """
    import torch

    if brightness != 1:
        colours = (colours * brightness).clamp(0, 1)
    if contrast != 1:
        middle = brightness_of(colours).mean(dim=(1, 2, 3), keepdim=True)
        colours = (middle + contrast * (colours - middle)).clamp(0, 1)
    if saturation != 1:
        grey = brightness_of(colours)
        colours = (grey + saturation * (colours - grey)).clamp(0, 1)
    return colours.clamp(min=0) ** torch.tensor(1 / gamma, dtype=torch.float32) if gamma != 1 else colours


def hue_rotated(colours: Tensor, degrees: float) -> Tensor:
    """Colours whose hue is rotated, with the same brightness: CSS Filter Effects, `hueRotate`."""
    import math

    import torch

    if degrees % 360 == 0:
        return colours
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    luma = torch.tensor([[0.213, 0.715, 0.072]] * 3, dtype=torch.float64)
    across = torch.tensor([[-0.213, -0.715, 0.928], [0.143, 0.140, -0.283], [-0.787, 0.715, 0.072]]).double()
    matrix = luma + cosine * (torch.eye(3, dtype=torch.float64) - luma) + sine * across
    return (colours @ matrix.T.float()).clamp(0, 1)


def levelled(colours: Tensor, black: float, white: float, gamma: float, low: float, high: float) -> Tensor:
    """Levels from `black` to `white` spread over `low` to `high`, the middle ones raised by gamma."""
    spread = ((colours - black) / (white - black)).clamp(0, 1)
    curved = spread ** (1 / gamma) if gamma != 1 else spread
    return low + (high - low) * curved


def matched(colours: Tensor, reference: Tensor, how: Matching) -> Tensor:
    """Each picture's colours with the statistics of a reference's.

    `mean`: mean and deviation of each channel in CIE L*a*b* (Reinhard et al. 2001, eq. 10 and 11). `covariance`: the
    linear map between the covariances of RGB that moves colours least (Pitie and Kokaram 2007, section 4). `histogram`:
    the distribution of each channel.
    """
    import torch

    pairs = zip(colours, reference.expand(len(colours), -1, -1, -1), strict=True)
    return torch.stack(
        [_matched_one(one.reshape(-1, 3), other.reshape(-1, 3), how).view_as(one) for one, other in pairs]
    )


def _matched_one(colours: Tensor, reference: Tensor, how: Matching) -> Tensor:
    if how == "histogram":
        return _with_histogram(colours, reference)
    if how == "covariance":
        return _with_covariance(colours, reference)
    lab, wanted = srgb_to_lab(colours), srgb_to_lab(reference)
    scale = wanted.std(0, correction=0) / lab.std(0, correction=0).clamp(min=1e-6)
    return lab_to_srgb((lab - lab.mean(0)) * scale + wanted.mean(0)).clamp(0, 1)


def _with_covariance(colours: Tensor, reference: Tensor) -> Tensor:
    import torch

    def root(matrix: Tensor, power: float) -> Tensor:
        values, vectors = torch.linalg.eigh(matrix)
        made: Tensor = vectors @ torch.diag(values.clamp(min=1e-10) ** power) @ vectors.T
        return made

    one, other = colours.double(), reference.double()
    own, wanted = (torch.cov(rows.T, correction=0) for rows in (one, other))
    inner = root(root(own, 0.5) @ wanted @ root(own, 0.5), 0.5)
    matrix = root(own, -0.5) @ inner @ root(own, -0.5)
    return ((one - one.mean(0)) @ matrix.T + other.mean(0)).clamp(0, 1).float()


def _with_histogram(colours: Tensor, reference: Tensor) -> Tensor:
    import numpy
    import torch

    matched = numpy.empty(colours.shape, numpy.float32)
    for channel in range(3):
        levels, inverse, counts = numpy.unique(colours[:, channel].numpy(), return_inverse=True, return_counts=True)
        wanted, wanted_counts = numpy.unique(reference[:, channel].numpy(), return_counts=True)
        shares, wanted_shares = counts.cumsum() / counts.sum(), wanted_counts.cumsum() / wanted_counts.sum()
        assert len(levels) == len(shares)
        matched[:, channel] = numpy.interp(shares, wanted_shares, wanted)[inverse]
    return torch.from_numpy(matched)


_TO_XYZ = ((0.4124564, 0.3575761, 0.1804375), (0.2126729, 0.7151522, 0.0721750), (0.0193339, 0.1191920, 0.9503041))
"""Linear sRGB to CIE XYZ under D65 (IEC 61966-2-1)."""


def srgb_to_lab(colours: Tensor) -> Tensor:
    """sRGB `[..., 3]` in 0..1 to CIE L*a*b* under D65 (IEC 61966-2-1; CIE 15:2004, section 8.2)."""
    import torch

    linear = torch.where(colours <= 0.04045, colours / 12.92, ((colours.clamp(min=0) + 0.055) / 1.055) ** 2.4)
    matrix = torch.tensor(_TO_XYZ, dtype=torch.float32)
    share = linear @ matrix.T / matrix.sum(1)
    root = torch.where(share > (6 / 29) ** 3, share.clamp(min=1e-9) ** (1 / 3), share / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = root.unbind(-1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -1)


def lab_to_srgb(lab: Tensor) -> Tensor:
    """The inverse of `srgb_to_lab`; colours that sRGB does not have lie outside of 0..1."""
    import torch

    lightness, a, b = lab.unbind(-1)
    y = (lightness + 16) / 116
    root = torch.stack([y + a / 500, y, y - b / 200], -1)
    share = torch.where(root > 6 / 29, root**3, 3 * (6 / 29) ** 2 * (root - 4 / 29))
    matrix = torch.tensor(_TO_XYZ, dtype=torch.float32)
    linear = (share * matrix.sum(1)) @ torch.linalg.inv(matrix).T
    return torch.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear.clamp(min=1e-9) ** (1 / 2.4) - 0.055)
