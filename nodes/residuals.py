"""ControlNets at work on a batch: which rows they act on, and what they add to a denoiser.

Imports torch: only the bodies of nodes import this module. Read next: `weft.nodes.denoiser`, which asks for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from weft.engine import InputError
from weft.nodes.modules import Conditions, Denoiser, Residuals
from weft.nodes.values import Conditioning, Control, Latent

CONTROL_CONDITIONS = ("encoder_hidden_states", "text_embeds", "time_ids")
"""Of what a UNet is called with, what a ControlNet is called with too."""


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

    def residuals(self, sample: Tensor, timestep: Tensor, conditions: Conditions, model: Denoiser) -> Residuals:
        """What it adds for a batch; zero in the rows that it does not act on."""
        mine = {name: conditions[name][self.rows] for name in CONTROL_CONDITIONS if name in conditions}
        down, middle = self.net(
            sample[self.rows],
            timestep,
            **model.family.arguments(mine),
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


def check_fits(net: Any, model: Denoiser) -> None:
    """Raise `InputError` where a ControlNet was made for another UNet."""
    for name in ("block_out_channels", "layers_per_block", "cross_attention_dim"):
        given, wanted = net.config[name], model.network.config[name]
        if given != wanted:
            raise InputError(
                f"the ControlNet was made for another model: its {name} are {given}, the model's {wanted}",
                "use a ControlNet that was trained with this model, or one like it",
            )


def acting(prompts: Sequence[Conditioning[Any]], batch: int) -> Iterator[tuple[Control[Any], slice]]:
    """Each control once, with the rows of the prompts that have it: those of the last, of those before, or all."""
    told: list[Control[Any]] = []
    for control in (control for prompt in reversed(prompts) for control in prompt.controls):
        if not any(_same(control, other) for other in told):
            told.append(control)
            having = [
                index for index, prompt in enumerate(prompts) if any(_same(control, one) for one in prompt.controls)
            ]
            yield control, slice(batch * having[0], batch * (having[-1] + 1))


def _same(one: Control[Any], other: Control[Any]) -> bool:
    """Whether two controls are equal by content; values that come out of a store are equal, never identical."""
    settings = (one.control_net, one.strength, one.start, one.end)
    return settings == (other.control_net, other.strength, other.start, other.end) and torch.equal(
        one.image, other.image
    )


def bind(control: Control[Any], rows: slice, latent: Latent[Any], net: Any) -> BoundControl:
    """A control on the device, its picture scaled to the latents' size in pixels and repeated for its rows.

    A ControlNet that pools its output into one vector, for style, acts on the positive prompt alone.
    """
    if net.config.global_pool_conditions:
        rows = slice(max(rows.start, rows.stop - latent.batch_size), rows.stop)
    image = control.image.permute(0, 3, 1, 2)
    size = (latent.height, latent.width)
    if image.shape[2:] != size:
        image = nn.functional.interpolate(image, size, mode="bilinear", antialias=True)
    image = repeated(image, latent.batch_size, "the picture of a ControlNet")
    image = torch.cat([image] * ((rows.stop - rows.start) // latent.batch_size))
    return BoundControl(net, image.to(net.device, net.dtype), control.strength, control.start, control.end, rows)


def repeated(tensor: Tensor, batch: int, what: str) -> Tensor:
    """One row for each item of a batch.

    Raises:
        InputError: where there are neither one nor as many.
    """
    if len(tensor) not in (1, batch):
        raise InputError(
            f"{what} comes in a batch of {len(tensor)}, the latents in a batch of {batch}",
            "give one for all, or one for each",
        )
    return tensor if len(tensor) == batch else tensor.repeat_interleave(batch, dim=0)
