"""ControlNets on a batch: which rows they act on, and what they add to a denoiser's network.

Imports torch: only the bodies of nodes import this module. Read next: `weft.nodes.sampling.guided_denoiser`, which
calls it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from weft.engine import Context
from weft.nodes.models.autoencoder import Autoencoder
from weft.nodes.models.control_networks import ControlNetwork, ControlPicture, ControlPixels
from weft.nodes.models.denoiser import Conditions, Denoiser, Residuals
from weft.nodes.models.network_calls import network_call
from weft.nodes.sampling.sampling_run import Position
from weft.nodes.sampling.size_checks import not_for_each
from weft.nodes.sampling.traits import lacks_vae
from weft.nodes.values import Control, Latent, Prompt


@dataclass(frozen=True)
class BoundControl:
    """A control network on the device, with its picture for the size and batch of the latents.

    Args:
        pictures: for the rows that it acts on.
        positive: what it reads of the positive prompt in place of each one's own, with a row for each item; None where
            it reads each.
        parts: for each equal part of the batch, one a prompt, whether it acts on it.
    """

    network: ControlNetwork
    pictures: tuple[ControlPicture, ...]
    parts: tuple[bool, ...] = (True,)
    positive: Conditions | None = None

    def on(self, parts: Sequence[bool]) -> BoundControl:
        """The same for a batch of several parts, acting on some of them; its pictures are for one part so far."""
        if self.positive is not None:
            return replace(self, parts=tuple(parts))
        pictures = (
            replace(one, tensors=tuple(torch.cat([tensor] * sum(parts)) for tensor in one.tensors))
            for one in self.pictures
        )
        return replace(self, pictures=tuple(pictures), parts=tuple(parts))

    def residuals(
        self, sample: Tensor, timestep: Tensor, conditions: Conditions, model: Denoiser, position: Position
    ) -> Residuals:
        """What it adds for a batch at a step: zero in rows that it does not act on, nothing at steps without it."""
        pictures = [one for one in self.pictures if position.within(one.start, one.end)]
        if not pictures:
            return {}
        if self.positive is not None:
            items = sample[: len(sample) // len(self.parts)]
            added = self._added(items, timestep, self.positive, model, pictures)
            copies = sum(self.parts)
            served = {name: [torch.cat([one] * copies) for one in tensors] for name, tensors in added.items()}
            return self._over_rows(served, len(sample))
        mine = {name: self._own_rows(conditions[name]) for name in self.network.conditions if name in conditions}
        return self._over_rows(self._added(self._own_rows(sample), timestep, mine, model, pictures), len(sample))

    def _added(
        self,
        sample: Tensor,
        timestep: Tensor,
        conditions: Conditions,
        model: Denoiser,
        pictures: Sequence[ControlPicture],
    ) -> Residuals:
        """What it adds, in the precision of the denoiser, which need not be its own."""
        own, dtype = self.network.network.dtype, sample.dtype
        given = {name: one.to(own) if one.is_floating_point() else one for name, one in conditions.items()}
        with network_call("a ControlNet", {"latents": sample, "picture": pictures[0].tensors[0], **conditions}):
            added = self.network.residuals(model, sample.to(own), timestep, given, pictures)
        return {name: [one.to(dtype) for one in tensors] for name, tensors in added.items()}

    def _over_rows(self, added: Residuals, rows: int) -> Residuals:
        return {name: [self._spread(one, rows) for one in tensors] for name, tensors in added.items()}

    def _own_rows(self, batch: Tensor) -> Tensor:
        """The rows of a batch that it acts on: by slices, since a list of them would be copied to the device."""
        if all(self.parts):
            return batch
        parts = [part for part, acts in zip(batch.chunk(len(self.parts)), self.parts, strict=True) if acts]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _spread(self, residual: Tensor, rows: int) -> Tensor:
        if all(self.parts):
            return residual
        spread = residual.new_zeros((rows, *residual.shape[1:]))
        acting = [part for part, acts in zip(spread.chunk(len(self.parts)), self.parts, strict=True) if acts]
        for part, own in zip(acting, residual.chunk(len(acting)), strict=True):
            part.copy_(own)
        return spread


def total(
    controls: Sequence[BoundControl],
    sample: Tensor,
    timestep: Tensor,
    conditions: Conditions,
    model: Denoiser,
    position: Position,
) -> Residuals | None:
    """The sum of all that control networks add at a step; None where none acts."""
    summed: Residuals = {}
    for control in controls:
        for name, tensors in control.residuals(sample, timestep, conditions, model, position).items():
            before = summed.get(name)
            summed[name] = [one + other for one, other in zip(before, tensors, strict=True)] if before else tensors
    return summed or None


def fused(
    controls: Sequence[BoundControl], acting: Sequence[tuple[int, ...]]
) -> tuple[list[BoundControl], list[tuple[int, ...]]]:
    """Controls whose networks read several pictures at once as one, where they act with the same prompts.

    Args:
        acting: the numbers of the controls that act with each prompt.
    """
    prompts = [tuple(number in one for one in acting) for number in range(len(controls))]
    joined: list[BoundControl] = []
    places: list[int] = []
    for control, own in zip(controls, prompts, strict=True):
        alike = (
            place
            for place, other in zip(places, prompts, strict=False)
            if control.network.fuses and joined[place].network is control.network and other == own
        )
        place = next(alike, len(joined))
        if place == len(joined):
            joined.append(control)
        else:
            joined[place] = replace(joined[place], pictures=(*joined[place].pictures, *control.pictures))
        places.append(place)
    return joined, [tuple(dict.fromkeys(places[number] for number in one)) for one in acting]


def distinct(prompts: Sequence[Prompt[Any]]) -> tuple[list[Control[Any]], list[tuple[int, ...]]]:
    """Each control once, those of the last prompt first; and for each prompt the numbers of its controls.

    One that a prompt has twice, which then counts twice, is there twice.
    """
    controls: list[Control[Any]] = []
    numbers: list[tuple[int, ...]] = []
    for prompt in reversed(prompts):
        own: list[int] = []
        for control in prompt.controls:
            alike = (number for number, one in enumerate(controls) if number not in own and _same(control, one))
            number = next(alike, len(controls))
            if number == len(controls):
                controls.append(control)
            own.append(number)
        numbers.append(tuple(sorted(own)))
    return controls, numbers[::-1]


def _same(one: Control[Any], other: Control[Any]) -> bool:
    """Whether two controls are equal by content: values from a store are equal, never identical."""
    equal = all(getattr(one, name) == getattr(other, name) for name in _SETTINGS)
    pictures = ((one.image, other.image), (one.mask, other.mask), (one.source, other.source))
    return equal and all(_same_tensors(*pair) for pair in pictures)


def _same_tensors(one: Tensor | None, other: Tensor | None) -> bool:
    return one is other or (one is not None and other is not None and torch.equal(one, other))


_SETTINGS = ("control_net", "strength", "start", "end", "vae", "kind")
"""What two controls have in common that act alike, besides their pictures."""


def bound(
    control: Control[Any], latent: Latent[Any], network: ControlNetwork, model: Denoiser, context: Context
) -> BoundControl:
    """A control on the device, its picture scaled to the latents' size in pixels, one for each item.

    Raises:
        InputError: where the control network was made for another denoiser, or lacks the VAE or the kind that it needs.
    """
    config = network.network.config
    network.check_steered(config, model.network.config)
    network.check_size(config, latent.width, latent.height)
    network.check_mask(config, control.mask is not None)
    network.check_source(config, control.source is not None, control.mask is not None)
    kind = network.kind_number(config, control.kind)
    given = _given(control, (latent.height, latent.width), network.masked_value)
    if not network.reads_latents(config):
        tensors = network.prepared(given, None, kind)
    elif control.vae is None:
        raise lacks_vae()
    else:
        with context.weights(control.vae, Autoencoder) as vae:
            tensors = network.prepared(given, vae, kind)
    frames = model.frame_rows(latent)
    rows = tuple(repeated(one, latent.batch_size, "the picture of a ControlNet", frames) for one in tensors)
    return BoundControl(network, (ControlPicture(rows, control.strength, control.start, control.end, kind),))


def _given(control: Control[Any], size: tuple[int, int], masked: float) -> ControlPixels:
    """What a control has, of the height and width that is sampled, as many rows of each."""
    image = _scaled(control.image.permute(0, 3, 1, 2), size)
    if control.mask is None:
        return ControlPixels(image)
    mask = (_scaled(control.mask[:, None], size) >= 0.5).to(image)
    if control.source is None:
        image, mask = _alike(image, mask)
        return ControlPixels(torch.where(mask > 0, masked, image), mask)
    image, mask, source = _alike(image, mask, _scaled(control.source.permute(0, 3, 1, 2), size))
    return ControlPixels(image, mask, torch.where(mask > 0, masked, source))


def _scaled(planes: Tensor, size: tuple[int, int]) -> Tensor:
    """Planes `[batch, channel, height, width]` of another height and width."""
    if planes.shape[2:] == size:
        return planes
    return nn.functional.interpolate(planes, size, mode="bilinear", antialias=True)


GIVEN = ("picture", "mask", "source")
"""What a ControlNet is given, in this order."""


def _alike(*planes: Tensor) -> Iterator[Tensor]:
    """A picture, a mask and a source in as many rows as the longest has; one row serves all."""
    rows = max(map(len, planes))
    return (repeated(one, rows, f"the {name} of a ControlNet") for one, name in zip(planes, GIVEN, strict=False))


def repeated(tensor: Tensor, batch: int, what: str, frames: int = 1) -> Tensor:
    """One row for each item of a batch, or for each frame of each of its clips.

    Args:
        frames: rows of an item; what has as many rows, or as many for each item, has one for each frame.

    Raises:
        InputError: where there are neither one nor as many.
    """
    if frames > 1 and len(tensor) in (frames, batch * frames):
        return tensor if len(tensor) == batch * frames else torch.cat([tensor] * batch)
    if len(tensor) not in (1, batch):
        raise not_for_each(batch, what, len(tensor), frames)
    rows = tensor if len(tensor) == batch else tensor.repeat_interleave(batch, dim=0)
    return rows if frames == 1 else rows.repeat_interleave(frames, dim=0)
