"""What a sampler asks for a prediction: a denoiser under classifier-free guidance, with its ControlNets.

The negative and the positive prompt go through the network as one batch, `[negative, positive]`, and a ControlNet sees
that same batch. Where guidance is off, the positive prompt goes alone.

Imports torch: only the bodies of nodes import this module.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from weft.engine import Context, InputError
from weft.nodes.modules import Denoiser
from weft.nodes.stepper import Position
from weft.nodes.values import Conditioning, Control, Guide, Latent

Residuals = tuple[list[Tensor], Tensor]
"""What a ControlNet adds to a UNet: one tensor for each skip connection, and one for the middle."""


@dataclass(frozen=True)
class BoundControl:
    """A ControlNet on the device, with its picture as the batch wants it.

    Args:
        image: `[row, 3, height, width]` in 0..1, for the rows that it acts on.
        rows: the rows of the batch that it acts on.
    """

    net: nn.Module
    image: Tensor
    strength: float
    start: float
    end: float
    rows: slice

    def residuals(self, sample: Tensor, timestep: Tensor, embeddings: Tensor) -> Residuals:
        """What it adds for a batch; zero in the rows that it does not act on."""
        down, middle = self.net(
            sample[self.rows],
            timestep,
            encoder_hidden_states=embeddings[self.rows],
            controlnet_cond=self.image,
            conditioning_scale=self.strength,
            return_dict=False,
        )
        return [self._spread(one, len(sample)) for one in down], self._spread(middle, len(sample))

    def _spread(self, residual: Tensor, rows: int) -> Tensor:
        if len(residual) == rows:
            return residual
        spread = residual.new_zeros((rows, *residual.shape[1:]))
        spread[self.rows] = residual
        return spread


@dataclass(frozen=True)
class GuidedDenoiser:
    """Predictions under guidance.

    Args:
        embeddings: `[row, token, channel]`, the negative rows before the positive ones.
        scale: the scale of guidance, or None where every row is a positive one.
        timestep_condition: `[row, channel]`, what joins the timestep in a network that was distilled with guidance.
    """

    unet: nn.Module
    embeddings: Tensor
    scale: float | None
    controls: tuple[BoundControl, ...] = ()
    timestep_condition: Tensor | None = None

    def __call__(self, latents: Tensor, timestep: Tensor, position: Position) -> Tensor:
        """The prediction `[batch, channel, height, width]` for scaled latents of that shape, in float32."""
        repeats = len(self.embeddings) // len(latents)
        sample = torch.cat([latents] * repeats).to(self.embeddings.dtype)
        prediction = self._predict(sample, timestep, self._residuals(sample, timestep, position)).float()
        if self.scale is None:
            return prediction
        negative, positive = prediction.chunk(2)
        return negative + self.scale * (positive - negative)

    def _predict(self, sample: Tensor, timestep: Tensor, residuals: Residuals | None) -> Tensor:
        down, middle = residuals or (None, None)
        prediction: Tensor = self.unet(
            sample,
            timestep,
            encoder_hidden_states=self.embeddings,
            timestep_cond=self.timestep_condition,
            down_block_additional_residuals=down,
            mid_block_additional_residual=middle,
            return_dict=False,
        )[0]
        return prediction

    def _residuals(self, sample: Tensor, timestep: Tensor, position: Position) -> Residuals | None:
        acting = [control for control in self.controls if position.within(control.start, control.end)]
        if not acting:
            return None
        given = [control.residuals(sample, timestep, self.embeddings) for control in acting]
        total_down, total_middle = given[0]
        for down, middle in given[1:]:
            total_down = [total + one for total, one in zip(total_down, down, strict=True)]
            total_middle = total_middle + middle
        return total_down, total_middle


@contextmanager
def guided(guide: Guide[Any], model: Denoiser, latent: Latent[Any], context: Context) -> Iterator[GuidedDenoiser]:
    """A guide's predictions for latents of this size and batch; its ControlNets' weights are held while it is open."""
    batch = latent.batch_size
    with ExitStack() as held:
        distilled = model.distilled_guidance(guide.scale, batch)
        negative = guide.negative if distilled is None else None
        sides = [negative, guide.positive] if negative else [guide.positive]
        embeddings = torch.cat([_embeddings(side, model, batch) for side in sides])
        controls = []
        for control, rows in _acting(sides, batch):
            net = held.enter_context(context.weights(control.control_net))
            _check_fits(net, model)
            controls.append(_bind(control, rows, latent, net))
        yield GuidedDenoiser(
            model.unet,
            embeddings.to(context.device, model.dtype),
            guide.scale if negative else None,
            tuple(controls),
            distilled,
        )


def _embeddings(side: Conditioning[Any], model: Denoiser, batch: int) -> Tensor:
    """A prompt's embeddings, one row an item."""
    width, wanted = side.embeddings.shape[-1], model.unet.config.cross_attention_dim
    if width != wanted:
        raise InputError(
            f"the prompt was encoded {width} channels wide, and the model reads {wanted}",
            "encode it with the text encoder of the model's own checkpoint",
        )
    return _repeated(side.embeddings, batch, "a prompt")


def _check_fits(net: Any, model: Denoiser) -> None:
    """Raise `InputError` where a ControlNet was made for another UNet."""
    for name in ("block_out_channels", "layers_per_block", "cross_attention_dim"):
        given, wanted = net.config[name], model.unet.config[name]
        if given != wanted:
            raise InputError(
                f"the ControlNet was made for another model: its {name} are {given}, the model's {wanted}",
                "use a ControlNet that was trained with this model, or one like it",
            )


def _repeated(tensor: Tensor, batch: int, what: str) -> Tensor:
    if len(tensor) not in (1, batch):
        raise InputError(
            f"{what} comes in a batch of {len(tensor)}, the latents in a batch of {batch}",
            "give one for all, or one for each",
        )
    return tensor if len(tensor) == batch else tensor.repeat_interleave(batch, dim=0)


def _acting(sides: Sequence[Conditioning[Any]], batch: int) -> Iterator[tuple[Control[Any], slice]]:
    """Each control once, with the rows of the sides that have it."""
    first, last = sides[0], sides[-1]
    for control in last.controls:
        shared = any(_same(control, other) for other in first.controls)
        yield control, slice(0 if shared else batch * (len(sides) - 1), batch * len(sides))
    for control in first.controls:
        if not any(_same(control, other) for other in last.controls):
            yield control, slice(0, batch)


def _same(one: Control[Any], other: Control[Any]) -> bool:
    """Whether two controls are equal by content; values that come out of a store are equal, never identical."""
    settings = (one.control_net, one.strength, one.start, one.end)
    return settings == (other.control_net, other.strength, other.start, other.end) and torch.equal(
        one.image, other.image
    )


def _bind(control: Control[Any], rows: slice, latent: Latent[Any], net: Any) -> BoundControl:
    """A control on the device, its picture scaled to the latents' size in pixels and repeated for its rows.

    A ControlNet that pools its output into one vector, for style, acts on the positive prompt alone.
    """
    if net.config.global_pool_conditions:
        rows = slice(max(rows.start, rows.stop - latent.batch_size), rows.stop)
    image = control.image.permute(0, 3, 1, 2)
    size = (latent.height, latent.width)
    if image.shape[2:] != size:
        image = nn.functional.interpolate(image, size, mode="bilinear", antialias=True)
    image = _repeated(image, latent.batch_size, "the picture of a ControlNet")
    image = torch.cat([image] * ((rows.stop - rows.start) // latent.batch_size))
    return BoundControl(net, image.to(net.device, net.dtype), control.strength, control.start, control.end, rows)
