"""Pictures as prompts on a batch: what adapters make of them, for the rows of the prompts that they act with.

Imports torch: only the bodies of nodes import this module. `weft.nodes.models.image_attention` has what attention adds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from weft.engine import Context, InputError
from weft.nodes.image_prompt_values import ImagePrompt
from weft.nodes.models.denoiser import Denoiser
from weft.nodes.models.image_attention import ShownImages
from weft.nodes.models.image_projection import FixedImageProjector
from weft.nodes.models.image_projector import ImageProjector
from weft.nodes.models.ip_adapter_files import check_layers
from weft.nodes.models.timed_image_attention import TimedShownImages
from weft.nodes.models.timed_image_projection import TimedImageProjector
from weft.nodes.sampling.controlnets import repeated
from weft.nodes.sampling.image_prompt_checks import layer_factors
from weft.nodes.sampling.sampling_run import Position
from weft.nodes.sampling.traits import IMAGE_VECTOR_HINT
from weft.nodes.values import Latent, Prompt


@dataclass(frozen=True, eq=False)
class TimedTokens:
    """Tokens of pictures for an adapter that makes keys and values of them in each step.

    Args:
        adapter: on the device until the run ends.
        tokens: `[item or 1, picture, token, channel]`.
        batch: the number of items.
    """

    adapter: TimedImageProjector
    tokens: Tensor
    batch: int

    def at(self, timestep: Tensor, dtype: torch.dtype) -> list[tuple[Tensor, Tensor]]:
        """The key and the value of each layer, one row an item."""
        pairs = self.adapter.attended_at(self.tokens, timestep)
        return [(_row_each(key, self.batch).to(dtype), _row_each(value, self.batch).to(dtype)) for key, value in pairs]


def _row_each(tokens: Tensor, batch: int) -> Tensor:
    return repeated(tokens, batch, _PICTURES)


_PICTURES = "the pictures of an IP-Adapter"


@dataclass(frozen=True, eq=False)
class BoundImages:
    """The pictures of one prompt through one adapter, on the device.

    Args:
        prompt: the value that they come from.
        keys: the key and the value of each layer `[item, token, channel]`, one row an item; empty for an adapter whose
            keys are others in each step.
        factors: of the adapter's output in each layer.
        mask: `[item or 1, height, width]`.
        size: height and width of the latents.
    """

    prompt: ImagePrompt
    keys: Sequence[tuple[Tensor, Tensor]]
    factors: Sequence[float]
    mask: Tensor | None
    size: tuple[int, int]
    timed: TimedTokens | None = None

    def joins(self, other: BoundImages) -> bool:
        """Whether both can be attended to at once, each by rows of its own."""
        one, two = self.prompt, other.prompt
        settings = [(image.adapter, image.scale, image.blocks, image.start, image.end) for image in (one, two)]
        if settings[0] != settings[1] or one.tokens.shape[1:] != two.tokens.shape[1:]:
            return False
        if self.mask is None or other.mask is None:
            return self.mask is other.mask
        return torch.equal(self.mask, other.mask)


def bound_images(
    images: Sequence[ImagePrompt], latent: Latent[Any], model: Denoiser, context: Context, held: ExitStack
) -> tuple[BoundImages, ...]:
    """Pictures on the device, one row for each item; adapters may leave the device again.

    Args:
        held: holds adapters that are needed in each step.

    Raises:
        InputError: where an adapter was made for another network, or a part that it is to act in is none of it.
    """
    return tuple(_bound(one, latent, model, context, held) for one in images)


def _bound(image: ImagePrompt, latent: Latent[Any], model: Denoiser, context: Context, held: ExitStack) -> BoundImages:
    layers = model.image_layers(model.network.config)
    factors = layer_factors(image.scale, image.blocks, layers, model.network.config)
    items, frames = latent.batch_size, model.frame_rows(latent)
    batch, keys, timed = items * frames, list[tuple[Tensor, Tensor]](), None
    with ExitStack() as here:
        adapter = here.enter_context(context.weights(image.adapter, ImageProjector))
        check_layers(adapter.facts, layers, f"the network of {model.family}")
        if isinstance(adapter, TimedImageProjector):
            timed = TimedTokens(adapter, image.tokens.to(context.device), batch)
            held.push(here.pop_all())
        elif isinstance(adapter, FixedImageProjector):
            tokens = repeated(image.tokens.flatten(1, 2), items, _PICTURES, frames)
            keys = [(key.to(model.dtype), value.to(model.dtype)) for key, value in adapter.attended(tokens)]
    mask = None if image.mask is None else image.mask.to(context.device)
    if mask is not None and len(mask) > 1:
        mask = repeated(mask, items, "the mask of an IP-Adapter", frames)
    size = (latent.height // model.latent_factor, latent.width // model.latent_factor)
    return BoundImages(image, keys, factors, mask, size, timed)


@dataclass(frozen=True, eq=False)
class ActingImages:
    """Pictures that rows of a call attend to in a part of the steps.

    Args:
        timed: what makes their keys in each step, for each of the prompts that they belong to.
    """

    images: ShownImages
    start: float
    end: float
    timed: tuple[TimedTokens, ...] = ()

    def at(self, timestep: Tensor, dtype: torch.dtype) -> ShownImages:
        """The pictures at a timestep of the network."""
        if not self.timed:
            return self.images
        return replace(self.images, keys=_rows_of_all([one.at(timestep, dtype) for one in self.timed]))


def acting(
    images: Sequence[ActingImages], position: Position, timestep: Tensor, dtype: torch.dtype
) -> list[ShownImages]:
    """Those that act at a position.

    Args:
        timestep: the network's, a scalar.
        dtype: of the network.
    """
    return [one.at(timestep, dtype) for one in images if position.among(one.start, one.end)]


def joined(prompts: Sequence[Sequence[BoundImages]]) -> Iterator[ActingImages]:
    """The pictures of the prompts of a call: those of several prompts with equal settings are attended to at once.

    Args:
        prompts: the pictures of each prompt; its rows follow those of the prompt before.
    """
    waiting = [(number, one) for number, images in enumerate(prompts) for one in images]
    while waiting:
        together: list[tuple[int, BoundImages]] = []
        for number, one in waiting:
            if number not in (taken for taken, _ in together) and (not together or one.joins(together[0][1])):
                together.append((number, one))
        waiting = [pair for pair in waiting if pair not in together]
        yield _at_once(together, len(prompts))


def _at_once(together: Sequence[tuple[int, BoundImages]], prompts: int) -> ActingImages:
    """One attention for the pictures of several prompts."""
    first, count = together[0][1], len(together)
    timed = tuple(one.timed for _, one in together if one.timed)
    batch = timed[0].batch if timed else len(first.keys[0][0])
    rows = [number * batch + item for number, _ in together for item in range(batch)]
    mask = first.mask if first.mask is None or len(first.mask) == 1 else first.mask.repeat(count, 1, 1)
    given = (slice(None) if count == prompts else rows, _rows_of_all([one.keys for _, one in together]))
    shown = (*given, first.factors, mask, first.size)
    images = TimedShownImages(*shown, layers=[*timed[0].adapter.layers]) if timed else ShownImages(*shown)
    return ActingImages(images, first.prompt.start, first.prompt.end, timed)


def _rows_of_all(keys: Sequence[Sequence[tuple[Tensor, Tensor]]]) -> list[tuple[Tensor, Tensor]]:
    """The key and the value of each layer for the rows of several prompts."""
    pairs = zip(*keys, strict=True)
    return [(torch.cat([key for key, _ in pair]), torch.cat([value for _, value in pair])) for pair in pairs]


def check_additions(prompt: Prompt[Any], model: Denoiser) -> None:
    """Raise `InputError` where a prompt lacks the vector of a picture that the model reads, or has what it does not."""
    reads = model.image_vector_width(model.network.config) > 0
    if reads and prompt.image_vector is None:
        raise InputError(
            f"the model of {model.family} reads the vector of a picture, which the prompt lacks",
            IMAGE_VECTOR_HINT,
            "wrong-prompt",
        )
    if prompt.grounding and not model.grounds(model.network.config):
        raise InputError(
            f"the model of {model.family} reads no objects at places", "leave GroundPrompt out", "unsupported-by-model"
        )
    if prompt.grounding and prompt.grounding.pictures is not None and not model.grounds_pictures(model.network.config):
        message = f"the model of {model.family} reads no pictures of objects at places"
        raise InputError(message, "leave GroundPictures out", "unsupported-by-model")
    if prompt.image_vector is not None and not reads:
        message = f"the model of {model.family} reads no vector of a picture"
        raise InputError(message, "leave ApplyUnCLIP out", "unsupported-by-model")
