"""What a run keeps of a picture under a noise mask, in each of its steps.

After a step, what lies outside of the mask is replaced by the picture at the noise level that the step has reached,
under the noise that the run began with. So the network sees the picture next to what it paints, at one level of noise
(RePaint, https://arxiv.org/abs/2201.09865, equation 8, with one noise for all steps, as in diffusers' inpainting
pipelines). Under a differential mask each element is kept until its own step (https://arxiv.org/abs/2306.00950,
algorithm 1).

Imports torch: only the bodies of nodes import this module.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor

from weft.nodes.values import NoiseMask


@dataclass(frozen=True)
class Repainting:
    """A noise mask in the form in which a run applies it, on its device.

    Args:
        coverage: how much is repainted, 0..1, `[batch or 1, 1, ..., height, width]` in latent elements.
        source: the picture that is kept, `[batch, channel, ..., height, width]`, without noise.
        noise: of unit variance, of its shape.
        differential: whether the coverage of an element says for which share of the steps it is repainted.
        begin: the fraction of the schedule from which that share counts.
    """

    coverage: Tensor
    source: Tensor
    noise: Tensor
    differential: bool
    begin: Fraction

    def blended(self, latents: Tensor, source: Tensor, reached: Fraction) -> Tensor:
        """Latents where the mask covers them, and elsewhere the picture.

        Args:
            source: the picture at the noise level of the latents.
            reached: the fraction of the schedule that lies behind.
        """
        share = self._share(reached)
        return (1 - share) * source + share * latents

    def clean(self, denoised: Callable[[], Tensor], reached: Fraction) -> Tensor:
        """The same of latents without noise."""
        return self.blended(denoised(), self.source, reached)

    def _share(self, reached: Fraction) -> Tensor:
        """How much of the latents is taken, for each element."""
        if not self.differential:
            return self.coverage
        threshold = float((reached - self.begin) / (1 - self.begin)) if self.begin < 1 else 1.0
        kept = (1 - self.coverage > threshold) | (self.coverage == 0)
        return (~kept).float()


def repainting_of(mask: NoiseMask, source: Tensor, noise: Tensor, begin: Fraction) -> Repainting:
    """A latent's noise mask for a run.

    Args:
        source: what the run begins from, before noise; kept unless the mask has a source of its own.
        noise: that the run begins with.
        begin: the fraction of the schedule that is left out for a part of the strength.
    """
    kept = source if mask.source is None else mask.source.to(source)
    under = noise if mask.noise is None else mask.noise.to(noise)
    return Repainting(_on_grid(mask, kept), kept, under, mask.differential, begin)


def _on_grid(mask: NoiseMask, latents: Tensor) -> Tensor:
    """A mask at the resolution of latents, in the way of diffusers: by the nearest pixel.

    A differential one is interpolated linearly between pixels, as in the community's pipelines for it.
    """
    height, width = latents.shape[-2:]
    how = {"mode": "bilinear", "align_corners": False} if mask.differential else {"mode": "nearest"}
    small = torch.nn.functional.interpolate(mask.coverage.clamp(0, 1)[:, None], (height, width), **how)
    frames = [1] * (latents.ndim - 4)
    return small.view(len(small), 1, *frames, height, width).to(latents)
