"""What a sampler asks for a prediction: a denoiser under classifier-free guidance, with its ControlNets.

The negative and the positive prompt go through the network as one batch, `[negative, positive]`, and a ControlNet sees
that same batch. Where guidance is off, or the network takes its scale itself, the positive prompt goes alone.

Imports torch: only the bodies of nodes import this module. `weft.nodes.residuals` is what ControlNets add.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from weft.engine import Context, InputError
from weft.nodes.modules import Conditions, Denoiser, Residuals
from weft.nodes.residuals import BoundControl, acting, bind, check_fits, repeated
from weft.nodes.stepper import Position
from weft.nodes.values import Conditioning, Guide, Latent


@dataclass(frozen=True)
class GuidedDenoiser:
    """Predictions under guidance, which leads along a chain of sides: away from the first, towards the last.

    Args:
        conditions: what the network is called with, the rows of each side after those of the side before.
        scales: how far guidance goes from each side to the next; none where there is one side.
    """

    model: Denoiser
    conditions: Conditions
    scales: tuple[float, ...] = ()
    controls: tuple[BoundControl, ...] = ()

    def __call__(self, latents: Tensor, timestep: Tensor, position: Position) -> Tensor:
        """The prediction `[batch, channel, height, width]` for scaled latents of that shape, in float32."""
        sides = len(self.scales) + 1
        sample = torch.cat([latents] * sides).to(self.model.dtype)
        residuals = self._residuals(sample, timestep, position)
        prediction = self.model.family.predict(self.model, sample, timestep, self.conditions, residuals).float()
        first, *others = prediction.chunk(sides)
        guided, before = first, first
        for scale, side in zip(self.scales, others, strict=True):
            guided, before = guided + scale * (side - before), side
        return guided

    def _residuals(self, sample: Tensor, timestep: Tensor, position: Position) -> Residuals | None:
        active = [control for control in self.controls if position.within(control.start, control.end)]
        if not active:
            return None
        given = [control.residuals(sample, timestep, self.conditions, self.model) for control in active]
        total_down, total_middle = given[0]
        for down, middle in given[1:]:
            total_down = [total + one for total, one in zip(total_down, down, strict=True)]
            total_middle = total_middle + middle
        return total_down, total_middle


@dataclass(frozen=True)
class Side:
    """One of the prompts that guidance leads between, with what the network sees beside its latents."""

    prompt: Conditioning[Any]
    negative: bool
    beside: Tensor | None


@contextmanager
def guided(guide: Guide[Any], model: Denoiser, latent: Latent[Any], context: Context) -> Iterator[GuidedDenoiser]:
    """A guide's predictions for latents of this size and batch; its ControlNets' weights are held while it is open."""
    _check_beside(guide, model, latent)
    embedded = model.family.scale_conditions(model, guide.scale)
    sides, scales = chain(guide) if embedded is None else ([Side(guide.positive, False, guide.beside)], ())
    rows = [_rows(side, model, latent, embedded or {}) for side in sides]
    conditions = {name: torch.cat([row[name] for row in rows]) for name in rows[0]}
    with ExitStack() as held:
        controls = []
        for control, where in acting([side.prompt for side in sides], latent.batch_size):
            net = held.enter_context(context.weights(control.control_net))
            check_fits(net, model)
            controls.append(bind(control, where, latent, net))
        placed = {name: _placed(tensor, model.dtype, context.device) for name, tensor in conditions.items()}
        yield GuidedDenoiser(model, placed, scales, tuple(controls))


def chain(guide: Guide[Any]) -> tuple[list[Side], tuple[float, ...]]:
    """The sides that guidance leads along, and how far it goes from each to the next."""
    positive = Side(guide.positive, False, guide.beside)
    if guide.negative is None:
        return [positive], ()
    negative = Side(guide.negative, True, guide.beside)
    if guide.image_scale is None or guide.beside is None:
        return [negative, positive], (guide.scale,)
    blind = Side(guide.negative, True, torch.zeros_like(guide.beside))
    return [blind, negative, positive], (guide.image_scale, guide.scale)


def _rows(side: Side, model: Denoiser, latent: Latent[Any], embedded: Conditions) -> Conditions:
    """What the network is called with for one side, one row an item."""
    prompt = side.prompt
    width, wanted = prompt.embeddings.shape[-1], model.family.prompt_width(model)
    if width != wanted:
        raise InputError(
            f"the prompt was encoded {width} channels wide, and the model reads {wanted}",
            "encode it with the text encoder of the model's own checkpoint",
        )
    if prompt.framing and not model.family.told_framing:
        raise InputError(f"{model.family.name} is told of no framing", "leave Framing out")
    told = model.family.conditions(model, prompt, latent, side.negative)
    rows = {name: repeated(one, latent.batch_size, "a prompt") for name, one in {**told, **embedded}.items()}
    if side.beside is not None:
        rows["beside"] = repeated(side.beside, latent.batch_size, "the picture that a model sees")
    return rows


def _placed(tensor: Tensor, dtype: torch.dtype, device: str) -> Tensor:
    """A condition on the device; numbers of classes stay whole."""
    return tensor.to(device, dtype) if tensor.is_floating_point() else tensor.to(device)


def _check_beside(guide: Guide[Any], model: Denoiser, latent: Latent[Any]) -> None:
    """Raise `InputError` where the network does not see, beside its latents, what the guide gives."""
    given, wanted = 0 if guide.beside is None else guide.beside.shape[1], model.family.channels_beside(model)
    if given != wanted:
        mends = {0: "guide it with CFGGuide alone", 4: "guide it with EditGuide", 5: "put InpaintGuide after its guide"}
        raise InputError(
            f"the model sees {wanted} channels beside its latents, and the guide gives {given}",
            mends.get(wanted, "use a guide that was made for this model"),
        )
    size = (latent.height // model.latent_factor, latent.width // model.latent_factor)
    if guide.beside is not None and guide.beside.shape[2:] != size:
        found = " x ".join(str(side * model.latent_factor) for side in reversed(guide.beside.shape[2:]))
        raise InputError(
            f"the guide's picture has {found} pixels, the latents are for {latent.width} x {latent.height}",
            "start from the same picture, or scale one of them",
        )
