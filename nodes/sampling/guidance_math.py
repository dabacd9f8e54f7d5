"""What becomes of several predictions: averages over the picture, where guidance leads, and the deviation it leaves.

Imports torch: only the bodies of nodes import this module.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from weft.nodes.models.denoiser import Denoiser
from weft.nodes.models.silence_libraries import quietly
from weft.nodes.sampling.controlnets import repeated
from weft.nodes.values import Latent, Projection, Prompt


def share(prompt: Prompt[Any], latent: Latent[Any], model: Denoiser, device: str) -> Tensor | float:
    """The weight of a prompt over the picture, `[batch or 1, 1, height, width]` in latent elements, or one number."""
    if prompt.area is None and prompt.mask is None:
        return prompt.strength
    height, width = latent.height // model.latent_factor, latent.width // model.latent_factor
    weight = torch.full((1, 1, height, width), prompt.strength)
    if prompt.area is not None:
        left, top, wide, high = prompt.area
        inside = torch.zeros(1, 1, height, width)
        rows = slice(round(top * height), max(round((top + high) * height), round(top * height) + 1))
        columns = slice(round(left * width), max(round((left + wide) * width), round(left * width) + 1))
        inside[..., rows, columns] = 1
        weight = weight * inside
    if prompt.mask is not None:
        mask = nn.functional.interpolate(prompt.mask[:, None], (height, width), mode="bilinear", antialias=True)
        weight = weight * repeated(mask, latent.batch_size, "the mask of a prompt")
    return weight.to(device)


def averaged(predictions: Sequence[tuple[Tensor, Tensor | float]]) -> Tensor:
    """Predictions, averaged by their weights; evenly where all of these are 0."""
    if len(predictions) == 1:
        return predictions[0][0]
    weights = torch.stack([torch.as_tensor(weight) + 0 * tensor for tensor, weight in predictions])
    weights = torch.where(weights.sum(0) == 0, 1.0, weights)
    blended: Tensor = (weights * torch.stack([tensor for tensor, _ in predictions])).sum(0) / weights.sum(0)
    return blended


Lead = Callable[[Tensor, Tensor, float], Tensor]
"""What guidance adds `[batch, channel, height, width]` on its way from one prediction to the next, by its scale."""


def straight(before: Tensor, after: Tensor, scale: float) -> Tensor:
    """Classifier-free guidance."""
    return scale * (after - before)


def projected(projection: Projection) -> Lead:
    """Adaptive projected guidance of one run, whose steps it remembers: diffusers', on predictions as they are."""
    with quietly():
        from diffusers.guiders.adaptive_projected_guidance import MomentumBuffer, normalized_guidance
    directions = MomentumBuffer(projection.momentum)

    def lead(before: Tensor, after: Tensor, scale: float) -> Tensor:
        guided: Tensor = normalized_guidance(
            after, before, scale, directions, projection.eta, projection.norm_threshold
        )
        return guided - before

    return lead


def rescaled(guided: Tensor, positive: Tensor, amount: float) -> Tensor:
    """A guided prediction whose deviation is brought back to that of the positive one, each item by itself.

    Common Diffusion Noise Schedules and Sample Steps are Flawed (Lin et al., 2023), equations 15 and 16.
    """
    over = tuple(range(1, guided.ndim))
    whole = guided * (positive.std(dim=over, keepdim=True) / guided.std(dim=over, keepdim=True))
    return amount * whole + (1 - amount) * guided
