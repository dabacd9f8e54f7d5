"""What is learned from: latents and prompts, and which of them make the batch of each step. Imports torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from weft.nodes.models.autoencoder import LatentDistribution
from weft.nodes.models.denoiser import Conditions, Denoiser
from weft.nodes.values import Latent, Prompt

CONTROL = "control_picture"
"""The name among the conditions of an item of the picture that a ControlNet reads."""

STREAMS = {"noise": 1, "order": 2, "dropout": 3, "weights": 4}
"""What is drawn by generators of their own, so that one choice changes nothing of another."""


def generator_for(seed: int, stream: str, number: int) -> torch.Generator:
    """The generator of a step, or of an epoch, of one kind of draws.

    Args:
        stream: one of `STREAMS`.
    """
    mixed = (seed * 0x9E3779B97F4A7C15 + number * 0xBF58476D1CE4E5B9 + STREAMS[stream] * 0x94D049BB133111EB) % 2**64
    return torch.Generator("cpu").manual_seed(mixed)


@dataclass(frozen=True, eq=False)
class Example:
    """A picture with its caption.

    Args:
        latents: the distribution that the VAE encodes it to, `[1, channel, height, width]`.
        size: of the picture, for models that read it.
        caption: the text.
        framing: of the picture in its original, for models that read it; None where it is whole.
        control: the picture that a ControlNet reads with it, `[1, 3, height, width]` in 0..1; None without.
    """

    latents: LatentDistribution
    size: Latent[Any]
    caption: str
    framing: tuple[int, int, int, int] | None = None
    control: Tensor | None = field(default=None, repr=False)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of its latents; a batch has one."""
        return tuple(self.latents.mean.shape[1:])

    def drawn(self, generator: torch.Generator) -> Tensor:
        """Latents of the distribution."""
        mean, deviation = self.latents.mean, self.latents.deviation
        if deviation is None:
            return mean
        return mean + deviation * torch.randn(mean.shape, generator=generator, dtype=torch.float32)


@dataclass(frozen=True, eq=False)
class Examples:
    """Pictures with captions, in batches: each epoch has every picture once, in an order of its own.

    Pictures of different sizes are in different batches.

    Args:
        seed: of the orders.
    """

    all: Sequence[Example]
    batch_size: int
    seed: int
    _epochs: dict[int, list[list[int]]] = field(default_factory=dict)

    def batch(self, number: int) -> list[Example]:
        """The batch of a number, counted over all epochs."""
        count = len(self._batches(0))
        return [self.all[index] for index in self._batches(number // count)[number % count]]

    def _batches(self, epoch: int) -> list[list[int]]:
        """The pictures of each batch of an epoch."""
        if epoch not in self._epochs:
            self._epochs.pop(epoch - 2, None)
            generator = generator_for(self.seed, "order", epoch)
            order = torch.randperm(len(self.all), generator=generator).tolist()
            placed = sorted(order, key=lambda index: self.all[index].shape)
            batches: list[list[int]] = []
            for _, alike in groupby(placed, key=lambda index: self.all[index].shape):
                indices = [*alike]
                batches += [indices[at : at + self.batch_size] for at in range(0, len(indices), self.batch_size)]
            turns = torch.randperm(len(batches), generator=generator).tolist()
            self._epochs[epoch] = [batches[turn] for turn in turns]
        return self._epochs[epoch]


def predictions(
    denoiser: Denoiser,
    seen: Tensor,
    timesteps: Tensor,
    conditions: Sequence[Conditions],
    call: Callable[..., Tensor] | None = None,
) -> Tensor:
    """The network's predictions for a batch, one call for items whose conditions have equal shapes.

    Args:
        conditions: of each item, with one row each.
        call: what is called in place of the denoiser's `predict`.
    """
    predict, found = call or denoiser.predict, dict[int, Tensor]()
    shapes = [{name: tuple(one.shape) for name, one in given.items()} for given in conditions]
    for first in (index for index, shape in enumerate(shapes) if shapes.index(shape) == index):
        rows = [index for index, shape in enumerate(shapes) if shape == shapes[first]]
        joined = {name: torch.cat([conditions[row][name] for row in rows]) for name in conditions[first]}
        made = predict(seen[rows].to(denoiser.dtype), timesteps[rows], joined)
        found |= dict(zip(rows, made, strict=True))
    return torch.stack([found[row] for row in range(len(seen))])


def conditions_of(denoiser: Denoiser, prompt: Prompt[Any], size: Latent[Any], device: str) -> Conditions:
    """What the network reads with a picture of a size, under the guidance that its models are trained with: none."""
    given = {**denoiser.conditions(prompt, size, False), **(denoiser.guidance_conditions(1.0) or {})}
    return {
        name: one.to(device, denoiser.dtype) if one.is_floating_point() else one.to(device)
        for name, one in given.items()
    }
