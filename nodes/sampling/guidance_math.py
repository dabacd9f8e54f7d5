"""How predictions are combined: averages over the picture, projected guidance, rescaling.

Imports torch: only the bodies of nodes import this module.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from weft.engine import InputError
from weft.nodes.models.denoiser import Denoiser
from weft.nodes.models.denoiser_facts import SizeLimits
from weft.nodes.models.silence_libraries import quietly
from weft.nodes.sampling.controlnets import repeated
from weft.nodes.values import Latent, Projection, Prompt

GuidanceStep = Callable[[Tensor, Tensor, float], Tensor]
"""What guidance adds on its way from one prediction to the next, by its scale; all of one shape."""


def prompt_weight(prompt: Prompt[Any], latent: Latent[Any], model: Denoiser, device: str) -> Tensor | float:
    """The weight of a prompt over the picture, `[batch or 1, 1, height, width]` in latent elements, or one number."""
    if prompt.area is None and prompt.mask is None and prompt.window is None:
        return prompt.strength
    *_, height, width = model.latent_shape(latent)
    weight = torch.full((1, 1, height, width), prompt.strength, dtype=torch.float32)
    if (window := window_slices(prompt, height, width, model.latent_factor, model.limits)) is not None:
        rows, columns = window
        faded = _faded(height, rows)[:, None] * _faded(width, columns)
        weight = weight * (faded if prompt.mask is None else (faded > 0).float())
    if prompt.area is not None:
        left, top, wide, high = prompt.area
        inside = torch.zeros(1, 1, height, width, dtype=torch.float32)
        # An area is at least one element, however small it is.
        rows = slice(round(top * height), max(round((top + high) * height), round(top * height) + 1))
        columns = slice(round(left * width), max(round((left + wide) * width), round(left * width) + 1))
        inside[..., rows, columns] = 1
        weight = weight * inside
    if prompt.mask is not None:
        mask = nn.functional.interpolate(prompt.mask[:, None], (height, width), mode="bilinear", antialias=True)
        weight = weight * repeated(mask, latent.batch_size, "the mask of a prompt")
    return weight.to(device)


ANY_SIZE = SizeLimits()
"""Of networks that take latents of every size."""

EDGE = 8
"""Elements over which the weight of a window rises from its edges."""


def window_slices(
    prompt: Prompt[Any], height: int, width: int, factor: int, limits: SizeLimits = ANY_SIZE
) -> tuple[slice, slice] | None:
    """The rows and columns of latents in a prompt's window.

    Of pixels, whole elements of latents count; shares are rounded to elements; a window has one at least along a side.
    For networks that read latents in patches, each side is then widened to whole ones, backwards at the picture's edge.

    Args:
        height: of the latents.
        width: of the latents.
        factor: pixels of an element's side.
        limits: the sizes that the network takes.

    Returns:
        None where the prompt has no window.

    Raises:
        InputError: where it lies beyond the picture, or the network takes no part of one.
    """
    if prompt.window is None:
        return None
    left, top, wide, high = prompt.window
    if prompt.window_in_shares:
        begin, size = (round(top * height), round(left * width)), (round(high * height), round(wide * width))
    else:
        begin, size = (int(top // factor), int(left // factor)), (int(high // factor), int(wide // factor))
    size = max(size[0], 1), max(size[1], 1)
    rows = slice(begin[0], min(begin[0] + size[0], height))
    columns = slice(begin[1], min(begin[1] + size[1], width))
    if rows.start >= rows.stop or columns.start >= columns.stop:
        message = f"the window at {left:g}, {top:g} lies beyond the picture of {width * factor} x {height * factor}"
        raise InputError(message, "move it into the picture", "out-of-range")
    rows, columns = _in_patches(rows, height, limits.multiple), _in_patches(columns, width, limits.multiple)
    try:
        limits.check((columns.stop - columns.start) * factor, (rows.stop - rows.start) * factor, factor)
    except InputError as refusal:
        message = f"a window shows the model a part of the picture: {refusal.message}"
        raise InputError(message, "use PromptArea, with which it sees all of it", refusal.code) from refusal
    return rows, columns


def _in_patches(part: slice, length: int, patch: int) -> slice:
    """A part of a side whose length is a multiple of a patch, as one is that the network can read."""
    size = -(-(part.stop - part.start) // patch) * patch
    begin = min(part.start, length - size)
    return slice(begin, begin + size)


def _faded(length: int, part: slice) -> Tensor:
    """The weight along one side: it rises from ends of a part that are not those of the picture."""
    places = torch.arange(length, dtype=torch.float32)
    weight: Tensor = ((places >= part.start) & (places < part.stop)).float()
    if part.start > 0:
        weight = weight * ((places - part.start + 1) / EDGE).clamp(0, 1)
    if part.stop < length:
        weight = weight * ((part.stop - places) / EDGE).clamp(0, 1)
    return weight


def averaged(predictions: Sequence[tuple[Tensor, Tensor | float]]) -> Tensor:
    """Predictions `[batch, channel, ..., height, width]`, averaged by their weights; evenly where all of these are 0.

    Args:
        predictions: each with its weight, a number or `[batch or 1, 1, height, width]`.
    """
    if len(predictions) == 1:
        return predictions[0][0]
    weights = torch.stack([_spread(weight, tensor) for tensor, weight in predictions])
    weights = torch.where(weights.sum(0) == 0, 1.0, weights)
    mean: Tensor = (weights * torch.stack([tensor for tensor, _ in predictions])).sum(0) / weights.sum(0)
    return mean


def _spread(weight: Tensor | float, prediction: Tensor) -> Tensor:
    """A weight for each element of a prediction; the frames of a clip share the picture's."""
    if not isinstance(weight, Tensor):
        return torch.full_like(prediction, weight)
    frames = [1] * (prediction.ndim - weight.ndim)
    return weight.reshape(*weight.shape[:2], *frames, *weight.shape[2:]).expand_as(prediction)


def projected(projection: Projection) -> GuidanceStep:
    """Adaptive projected guidance (https://arxiv.org/abs/2410.02416) of one run, as diffusers' guider has it.

    It remembers the directions of the steps before, so each run takes a new one.
    """
    with quietly():
        from diffusers.guiders.adaptive_projected_guidance import MomentumBuffer, normalized_guidance
    directions = MomentumBuffer(projection.momentum)

    def step(before: Tensor, after: Tensor, scale: float) -> Tensor:
        guided: Tensor = normalized_guidance(
            after, before, scale, directions, projection.eta, projection.norm_threshold
        )
        return guided - before

    return step


def rescaled(guided: Tensor, positive: Tensor, amount: float) -> Tensor:
    """A guided prediction whose deviation is brought back to that of the positive one, each item by itself.

    Common Diffusion Noise Schedules and Sample Steps are Flawed (Lin et al., 2023), equations 15 and 16.
    """
    over = tuple(range(1, guided.ndim))
    whole = guided * (positive.std(dim=over, keepdim=True) / guided.std(dim=over, keepdim=True))
    return amount * whole + (1 - amount) * guided
