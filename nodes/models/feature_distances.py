"""How far two sets of vectors are from each other: Frechet distance and kernel distance. Imports torch."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def frechet_distance(vectors: Tensor, others: Tensor) -> float:
    """The Frechet distance of the Gaussians through two sets of vectors (https://arxiv.org/abs/1706.08500).

    |m - n|^2 + tr(C + D - 2 (C D)^(1/2)). With C = A'A and D = B'B the last trace is the sum of the singular values of
    A B', which needs no root of a matrix that is nearly singular.

    Args:
        vectors: `[picture, channel]`, two at least.
        others: with as many channels.
    """
    (mean, root), (other_mean, other_root) = _moments(vectors), _moments(others)
    common = torch.linalg.svdvals(root @ other_root.T).sum()
    spread = root.square().sum() + other_root.square().sum() - 2 * common
    return float((mean - other_mean).square().sum() + spread)


def _moments(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """The mean of vectors, and a matrix A of which A'A is their covariance."""
    double = vectors.double()
    mean = double.mean(0)
    root = torch.linalg.qr(double - mean, mode="r").R / (len(vectors) - 1) ** 0.5
    return mean, root


def kernel_distances(
    vectors: Tensor, others: Tensor, subsets: int, size: int, seed: int, done: Callable[[int, int], None]
) -> Tensor:
    """The squared maximum mean discrepancy of random subsets, without bias (https://arxiv.org/abs/1801.01401).

    The kernel is (x.y / channels + 1)^3.

    Args:
        vectors: `[picture, channel]`.
        others: with as many channels.
        subsets: how many are drawn.
        size: the vectors in a subset, two at least.
        seed: of the drawing.
        done: gets how many subsets of how many are done.
    """
    drawn = torch.Generator().manual_seed(seed)
    found = []
    for number in range(1, subsets + 1):
        pair = [one[torch.randperm(len(one), generator=drawn)[:size]].double() for one in (vectors, others)]
        found.append(_discrepancy(*pair))
        done(number, subsets)
    return torch.stack(found)


def _discrepancy(a: Tensor, b: Tensor) -> Tensor:
    size = len(a)
    own = sum((one.sum() - one.trace()) / (size * (size - 1)) for one in (_kernel(a, a), _kernel(b, b)))
    return own - 2 * _kernel(a, b).mean()


def _kernel(a: Tensor, b: Tensor) -> Tensor:
    return (a @ b.T / a.shape[1] + 1) ** 3
