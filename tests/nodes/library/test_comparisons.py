"""PSNR and SSIM against torchmetrics and scikit-image, sharpness against scikit-image's Laplacian."""

from __future__ import annotations

import math
from typing import Any

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.refusals import refused
from weft.nodes import BlurImage, Compare, Image, Sharpness


def pictures(seed: int, count: int = 2, height: int = 24, width: int = 31) -> Tensor:
    return torch.rand(count, height, width, 3, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=6)
@given(st.integers(0, 10**6), st.integers(11, 40), st.integers(11, 40), st.floats(0.01, 1.0))
def test_psnr_and_ssim_are_those_of_torchmetrics_and_scikit_image(
    seed: int, height: int, width: int, share: float
) -> None:
    import skimage.metrics
    from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

    metrics: Any = skimage.metrics
    one = pictures(seed, 2, height, width)
    other = one + share * (pictures(seed + 1, 2, height, width) - one)
    found = Compare(Image(one), Image(other))
    a, b = one.movedim(-1, 1), other.movedim(-1, 1)
    ratio = peak_signal_noise_ratio(a, b, data_range=1.0, dim=(1, 2, 3), reduction="elementwise_mean")
    assert found.psnr == pytest.approx(float(ratio), abs=1e-4)
    # torchmetrics also counts windows that reach over the border, into mirrored pixels: its map is cut to the others.
    _, every = structural_similarity_index_measure(a, b, data_range=1.0, return_full_image=True)
    assert found.ssim == pytest.approx(float(every[..., 5:-5, 5:-5].mean()), abs=1e-4)
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    each = [
        metrics.structural_similarity(x.numpy(), y.numpy(), data_range=1.0, channel_axis=-1, **options)
        for x, y in zip(one.double(), other.double(), strict=True)
    ]
    assert found.ssim == pytest.approx(numpy.mean(each), abs=1e-4)
    pairs = zip(one.numpy(), other.numpy(), strict=True)
    ratios = [metrics.peak_signal_noise_ratio(x, y, data_range=1.0) for x, y in pairs]
    assert found.psnr == pytest.approx(numpy.mean(ratios), abs=1e-4)


def test_equal_pictures_are_as_close_as_can_be_and_one_serves_all() -> None:
    one = pictures(1, 1)
    found = Compare(Image(one.repeat(3, 1, 1, 1)), Image(one))
    assert (found.psnr, found.largest) == (math.inf, 0.0) and found.ssim == pytest.approx(1.0)


def test_pictures_of_other_sizes_or_counts_are_refused() -> None:
    with refused("size-mismatch"):
        Compare(Image(pictures(1)), Image(pictures(2, width=30)))
    with refused("batch-mismatch"):
        Compare(Image(pictures(1, 3)), Image(pictures(2, 2)))
    with refused("wrong-size"):
        Compare(Image(pictures(1, height=10)), Image(pictures(2, height=10)))


def test_sharpness_is_the_variance_of_the_laplacian_and_falls_under_a_blur() -> None:
    import skimage.filters

    filters: Any = skimage.filters
    found = Sharpness(Image(pictures(3)))
    grey = 255 * (pictures(3) @ torch.tensor([0.299, 0.587, 0.114])).double().numpy()
    inside = [filters.laplace(numpy.pad(one, 1, mode="reflect"), ksize=3)[1:-1, 1:-1].var() for one in grey]
    numpy.testing.assert_allclose(found.scores, inside, rtol=1e-6)
    assert found.score == pytest.approx(numpy.mean(inside))
    assert Sharpness(BlurImage(Image(pictures(3)), radius=2.0)).score < 0.1 * found.score
