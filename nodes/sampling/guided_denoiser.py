"""What a sampler asks for a prediction: a denoiser under guidance, with its prompts and their ControlNets.

Guidance leads along sides: away from the negative prompt, towards the positive one, and away from what this one is
under perturbed attention. Each side is one prompt or several that act together. All that act at a step go through the
network as one batch, `[negative, positive, perturbed]`, and a ControlNet sees its rows of that batch; prompts of
different lengths go one after the other. Where guidance is off, the positive prompt goes alone; where the network takes
its scale itself, without a negative one.

Imports torch: only the bodies of nodes import this module. `weft.nodes.sampling.controlnets` is what ControlNets add,
`weft.nodes.sampling.pag` how attention is perturbed, `weft.nodes.sampling.guidance_math` what becomes of several
predictions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from weft.engine import Context, InputError
from weft.nodes.models.denoiser import EXTRA_CHANNELS, Conditions, Denoiser
from weft.nodes.sampling.controlnets import BoundControl, bound, distinct, repeated, total
from weft.nodes.sampling.guidance_math import Lead, averaged, projected, rescaled, share, straight
from weft.nodes.sampling.pag import perturbed, self_attentions
from weft.nodes.sampling.sampling_run import Position
from weft.nodes.sampling.traits import EXTRA_CHANNEL_HINTS, FOREIGN_GUIDE_HINT
from weft.nodes.values import Guide, Latent, Prompt


@dataclass(frozen=True)
class Side:
    """One of what guidance leads between: prompts, with what the network sees beside its latents."""

    prompts: tuple[Prompt[Any], ...]
    negative: bool
    beside: Tensor | None
    perturbed: bool = False


@dataclass(frozen=True)
class Part:
    """One prompt of a side, on the device.

    Args:
        side: the number of its side.
        conditions: what the network is called with, a row for each item.
        controls: the numbers of the ControlNets that act with it.
        share: its weight, `[batch or 1, 1, height, width]` in latent elements; a number where it is the same all
            over.
        perturbed: whether it is asked under perturbed attention.
    """

    side: int
    prompt: Prompt[Any]
    conditions: Conditions
    controls: tuple[int, ...]
    share: Tensor | float
    perturbed: bool

    def joins(self, other: Part) -> bool:
        """Whether both can stand in one batch."""
        return {name: tensor.shape for name, tensor in self.conditions.items()} == {
            name: tensor.shape for name, tensor in other.conditions.items()
        }


@dataclass(frozen=True)
class Batch:
    """Parts that go through the network together.

    Args:
        attentions: the modules of the network whose attention is perturbed, in the last parts, where these ask for it.
    """

    parts: tuple[Part, ...]
    conditions: Conditions
    controls: tuple[BoundControl, ...]
    attentions: tuple[Any, ...]

    def predict(self, model: Denoiser, latents: Tensor, timestep: Tensor, position: Position) -> Sequence[Tensor]:
        """What the network predicts for each part, in float32."""
        sample = torch.cat([latents] * len(self.parts)).to(model.dtype)
        residuals = total(self.controls, sample, timestep, self.conditions, model, position)
        kept = sum(not part.perturbed for part in self.parts)
        with perturbed(self.attentions, kept, len(self.parts)) if kept < len(self.parts) else nullcontext():
            prediction = model.predict(sample, timestep, self.conditions, residuals).float()
        return prediction.chunk(len(self.parts))


@dataclass(frozen=True)
class GuidedDenoiser:
    """Predictions under guidance, which leads along a chain of sides: away from the first, towards the positive one.

    Args:
        scales: how far guidance goes from each side to the next, up to the positive one, whose number is their count;
            the perturbed side comes after it.
        nets: what each number of a part's controls stands for.
        attentions: the modules of the network whose attention is perturbed.
        lead: how guidance goes from one side to the next; it may remember the steps before.
    """

    model: Denoiser
    guide: Guide[Any]
    parts: tuple[Part, ...]
    scales: tuple[float, ...]
    nets: tuple[BoundControl, ...]
    attentions: tuple[Any, ...]
    lead: Lead
    batches: dict[tuple[int, ...], tuple[Batch, ...]] = field(default_factory=dict)

    def __call__(self, latents: Tensor, timestep: Tensor, position: Position) -> Tensor:
        """The prediction `[batch, channel, height, width]` for scaled latents of that shape, in float32."""
        sides = self._sides(latents, timestep, position)
        if len(sides) == 1:
            return sides[0]
        positive = sides[len(self.scales)]
        guided = sides[0]
        for scale, before, after in zip(self.scales, sides, sides[1:], strict=False):
            guided = guided + self.lead(before, after, scale)
        if self.guide.perturbation:
            guided = guided + self.guide.perturbation.scale * (positive - sides[-1])
        return rescaled(guided, positive, self.guide.rescale) if self.guide.rescale else guided

    def _sides(self, latents: Tensor, timestep: Tensor, position: Position) -> list[Tensor]:
        """What each side predicts here; the positive one alone where guidance is off."""
        count = len(self.scales) + 1 + bool(self.attentions)
        acts = position.among(self.guide.start, self.guide.end)
        sides = range(count) if acts else (len(self.scales),)
        found: dict[int, list[tuple[Tensor, Tensor | float]]] = {side: [] for side in sides}
        for batch in self._batches(sides, position):
            for part, prediction in zip(
                batch.parts, batch.predict(self.model, latents, timestep, position), strict=True
            ):
                found[part.side].append((prediction, part.share))
        return [averaged(predictions) for predictions in found.values()]

    def _batches(self, sides: Sequence[int], position: Position) -> tuple[Batch, ...]:
        """What goes through the network here; the same prompts are put together once in a run."""
        acting = tuple(
            number
            for number, part in enumerate(self.parts)
            if part.side in sides and position.among(part.prompt.start, part.prompt.end)
        )
        if {self.parts[number].side for number in acting} != set(sides):
            raise InputError(
                f"no prompt acts at {position.index} of {position.count} predictions",
                "let the fractions of the prompts cover the whole run (PromptSteps)",
            )
        if acting not in self.batches:
            self.batches[acting] = tuple(self._joined([self.parts[number] for number in acting]))
        return self.batches[acting]

    def _joined(self, parts: list[Part]) -> Iterator[Batch]:
        while parts:
            together = tuple(part for part in parts if part.joins(parts[0]))
            parts = [part for part in parts if part not in together]
            conditions = {
                name: torch.cat([part.conditions[name] for part in together]) for name in together[0].conditions
            }
            having = [(net, [number in part.controls for part in together]) for number, net in enumerate(self.nets)]
            controls = tuple(net.on(rows) for net, rows in having if any(rows))
            yield Batch(together, conditions, controls, self.attentions)


@contextmanager
def guided(guide: Guide[Any], model: Denoiser, latent: Latent[Any], context: Context) -> Iterator[GuidedDenoiser]:
    """A guide's predictions for latents of this size and batch; its ControlNets' weights are held while it is open."""
    _check_beside(guide, model, latent)
    embedded = model.guidance_conditions(guide.scale)
    distilled = embedded is not None
    lead = _lead(guide, distilled)
    attentions = self_attentions(model, guide.perturbation.layers) if guide.perturbation else ()
    sides, scales = chain(guide, distilled)
    asked = [(number, prompt) for number, side in enumerate(sides) for prompt in side.prompts]
    controls, having = distinct([prompt for _, prompt in asked])
    with ExitStack() as held:
        nets = []
        for control in controls:
            net = held.enter_context(context.weights(control.control_net, torch.nn.Module))
            nets.append(bound(control, latent, net, model))
        steering = _steering(nets, [min(side, len(scales)) for side, _ in asked], having)
        parts = [
            Part(
                side,
                prompt,
                _rows(sides[side], prompt, model, latent, embedded or {}, context.device),
                acting,
                share(prompt, latent, model, context.device),
                sides[side].perturbed,
            )
            for (side, prompt), acting in zip(asked, steering, strict=True)
        ]
        yield GuidedDenoiser(model, guide, tuple(parts), scales, tuple(nets), attentions, lead)


def _steering(
    nets: Sequence[BoundControl], sides: Sequence[int], having: Sequence[tuple[int, ...]]
) -> Iterator[tuple[int, ...]]:
    """The numbers of the ControlNets that act with each prompt, of those that it has.

    One that pools its output into one vector, for style, acts on the last side alone that has it.

    Args:
        sides: the number of each prompt's side; that of the positive one for those that are perturbed.
    """
    lasts = {
        one: max(side for side, numbers in zip(sides, having, strict=True) if one in numbers)
        for one, net in enumerate(nets)
        if net.pools
    }
    for side, numbers in zip(sides, having, strict=True):
        yield tuple(one for one in numbers if lasts.get(one, side) == side)


def _lead(guide: Guide[Any], distilled: bool) -> Lead:
    """How guidance goes from one side to the next.

    Raises:
        InputError: where it is to be projected, and there is not one direction to project.
    """
    if guide.projection is None:
        return straight
    if distilled:
        raise InputError("the model was distilled with guidance, so there is none to project", _LEAVE_OUT)
    if guide.image_scale is not None:
        raise InputError(
            "a picture to edit and its prompt lead in two directions, and one can be projected", _LEAVE_OUT
        )
    return projected(guide.projection)


_LEAVE_OUT = "leave ProjectedGuidance out"


def chain(guide: Guide[Any], distilled: bool) -> tuple[list[Side], tuple[float, ...]]:
    """The sides that guidance leads along, up to the positive one, and how far it goes from each to the next.

    The perturbed side, where there is one, comes after these. A model that was distilled with guidance has no others.
    """
    positive = Side(guide.positive.prompts, False, guide.beside)
    last = [positive, *([replace(positive, perturbed=True)] if guide.perturbation else [])]
    if guide.negative is None or distilled:
        return last, ()
    negative = Side(guide.negative.prompts, True, guide.beside)
    if guide.image_scale is None or guide.beside is None:
        return [negative, *last], (guide.scale,)
    blind = Side(guide.negative.prompts, True, torch.zeros_like(guide.beside))
    return [blind, negative, *last], (guide.image_scale, guide.scale)


def _rows(
    side: Side, prompt: Prompt[Any], model: Denoiser, latent: Latent[Any], embedded: Conditions, device: str
) -> Conditions:
    """What the network is called with for one prompt, one row an item, on the device."""
    width, wanted = prompt.embeddings.shape[-1], model.prompt_width
    if width != wanted:
        raise InputError(
            f"the prompt was encoded {width} channels wide, and the model reads {wanted}",
            "encode it with the text encoder of the model's own checkpoint",
        )
    if prompt.framing and not model.takes_size_conditions:
        raise InputError(f"{model.family} is told of no framing", "leave Framing out")
    told = model.conditions(prompt, latent, side.negative)
    rows = {name: repeated(one, latent.batch_size, "a prompt") for name, one in {**told, **embedded}.items()}
    if side.beside is not None:
        rows[EXTRA_CHANNELS] = repeated(side.beside, latent.batch_size, "the picture that a model sees")
    return {name: _placed(tensor, model.dtype, device) for name, tensor in rows.items()}


def _placed(tensor: Tensor, dtype: torch.dtype, device: str) -> Tensor:
    """A condition on the device; numbers of classes stay whole."""
    return tensor.to(device, dtype) if tensor.is_floating_point() else tensor.to(device)


def _check_beside(guide: Guide[Any], model: Denoiser, latent: Latent[Any]) -> None:
    """Raise `InputError` where the network does not see, beside its latents, what the guide gives."""
    given, wanted = 0 if guide.beside is None else guide.beside.shape[1], model.extra_channels
    if given != wanted:
        raise InputError(
            f"the model sees {wanted} channels beside its latents, and the guide gives {given}",
            EXTRA_CHANNEL_HINTS.get(wanted, FOREIGN_GUIDE_HINT),
        )
    size = (latent.height // model.latent_factor, latent.width // model.latent_factor)
    if guide.beside is not None and guide.beside.shape[2:] != size:
        found = " x ".join(str(side * model.latent_factor) for side in reversed(guide.beside.shape[2:]))
        raise InputError(
            f"the guide's picture has {found} pixels, the latents are for {latent.width} x {latent.height}",
            "start from the same picture, or scale one of them",
        )
