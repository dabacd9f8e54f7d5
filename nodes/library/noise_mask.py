"""Inpainting with any model: SetNoiseMask."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from weft.engine import NodeProblem, Upstream, node
from weft.nodes.library.latent_parts import have_samples
from weft.nodes.sampling.size_checks import one_or_each, sizes_match
from weft.nodes.sizes import SizeTraits, same_size
from weft.nodes.value_checks import check_mask_size
from weft.nodes.values import F, Latent, Mask, NoiseMask

if TYPE_CHECKING:
    from torch import Tensor

MaskMode = Literal["hard", "soft", "differential"]


def _mask_fits(setter: Upstream) -> Iterator[NodeProblem]:
    """There are samples to keep, and the mask is of the size of the picture that they decode to."""
    yield from have_samples(setter)
    yield from sizes_match(setter, "mask", "latent")
    yield from one_or_each(setter, "mask", "latent")


@node(category="latent", lane="cpu", fits=_mask_fits, traits=(SizeTraits(same_size, of="latent"),))
def SetNoiseMask(latent: Latent[F], mask: Mask, *, mode: MaskMode = "hard") -> Latent[F]:
    """Let samplers repaint only a part of latents: inpainting with any model, by any sampler.

    After each step of KSampler, what lies outside of the mask is replaced by the given latents at the noise level of
    the step, as in diffusers' inpainting pipelines for networks of four channels, and by the latents themselves after
    the last one. A VAE changes their pixels a little: put back those of the picture afterwards. Two samplers in a row
    with `end_step` and `start_step` keep the same part; a run that ends without noise takes the mask off.

    Args:
        latent: of the picture, from VAEEncode.
        mask: of the picture's size in pixels; 1 is repainted, 0 is kept. One for all items, or one for each.
        mode: `hard` repaints where the mask is 0.5 or more. `soft` mixes in each step by the value of the mask, for
            blurred edges. `differential` takes the value as a strength for each pixel: one of 0.3 changes only in the
            last 0.3 of the steps, so that it keeps its form (https://arxiv.org/abs/2306.00950). With `hard` and `soft`
            a run at full strength (`denoise` 1) begins from noise alone; with `differential` from the picture under
            noise.
    """
    check_mask_size(mask.coverage, latent.width, latent.height, latent.batch_size)
    coverage = _halved(mask.coverage) if mode == "hard" else mask.coverage
    return replace(latent, mask=NoiseMask(coverage, differential=mode == "differential"))


def _halved(coverage: Tensor) -> Tensor:
    """1 where a mask is 0.5 or more, else 0."""
    return (coverage >= 0.5).float()
