"""ControlNets on a batch: which rows they act on, and the residuals that they add to a UNet.

Imports torch: only the bodies of nodes import this module. Read next: `weft.nodes.sampling.guided_denoiser`, which
calls it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from weft.engine import InputError
from weft.nodes.models.denoiser import Conditions, Denoiser, Residuals
from weft.nodes.models.network_calls import network_call
from weft.nodes.models.network_format import check_steered
from weft.nodes.sampling.sampling_run import Position
from weft.nodes.values import Control, Latent, Prompt

CONTROL_CONDITIONS = ("encoder_hidden_states", "text_embeds", "time_ids")
"""The conditions of a UNet that its ControlNets take too."""


@dataclass(frozen=True)
class BoundControl:
    """A ControlNet on the device, with its picture in the size and batch of the latents.

    Args:
        image: `[row, 3, height, width]` in 0..1, for the rows that it acts on.
        start: the fraction of the run at which it begins.
        end: the fraction of the run at which it ends.
        parts: for each equal part of the batch, one a prompt, whether it acts on it.
    """

    net: Any
    image: Tensor
    strength: float
    start: float
    end: float
    parts: tuple[bool, ...] = (True,)

    @property
    def pools(self) -> bool:
        """Whether it pools its output into one vector, for style."""
        return bool(self.net.config.global_pool_conditions)

    def on(self, parts: Sequence[bool]) -> BoundControl:
        """The same for a batch of several parts, acting on some of them; its picture is for one part so far."""
        return replace(self, image=torch.cat([self.image] * sum(parts)), parts=tuple(parts))

    def residuals(self, sample: Tensor, timestep: Tensor, conditions: Conditions, model: Denoiser) -> Residuals:
        """Its residuals for a batch; zero in the rows that it does not act on."""
        rows = self._rows(len(sample))
        mine = {name: conditions[name][rows] for name in CONTROL_CONDITIONS if name in conditions}
        with network_call("a ControlNet", {"latents": sample[rows], "picture": self.image, **mine}):
            down, middle = self.net(
                sample[rows],
                timestep,
                **model.arguments(mine),
                controlnet_cond=self.image,
                conditioning_scale=self.strength,
                return_dict=False,
            )
        return [self._spread(one, len(sample)) for one in down], self._spread(middle, len(sample))

    def _rows(self, count: int) -> slice | list[int]:
        """The rows that it acts on, in a batch of `count`."""
        if all(self.parts):
            return slice(None)
        each = count // len(self.parts)
        return [row for row in range(count) if self.parts[row // each]]

    def _spread(self, residual: Tensor, rows: int) -> Tensor:
        if all(self.parts):
            return residual
        spread = residual.new_zeros((rows, *residual.shape[1:]))
        spread[self._rows(rows)] = residual
        return spread


def total(
    controls: Sequence[BoundControl],
    sample: Tensor,
    timestep: Tensor,
    conditions: Conditions,
    model: Denoiser,
    position: Position,
) -> Residuals | None:
    """The sum of all ControlNets' residuals at a step; None where none acts."""
    active = [control for control in controls if position.within(control.start, control.end)]
    if not active:
        return None
    (total_down, total_middle), *others = [one.residuals(sample, timestep, conditions, model) for one in active]
    for down, middle in others:
        total_down = [total + one for total, one in zip(total_down, down, strict=True)]
        total_middle = total_middle + middle
    return total_down, total_middle


def distinct(prompts: Sequence[Prompt[Any]]) -> tuple[list[Control[Any]], list[tuple[int, ...]]]:
    """Each control once, those of the last prompt first; and for each prompt the numbers of its controls."""
    controls: list[Control[Any]] = []
    for control in (control for prompt in reversed(prompts) for control in prompt.controls):
        if not any(_same(control, other) for other in controls):
            controls.append(control)
    numbers = [
        tuple(number for number, one in enumerate(controls) if any(_same(one, other) for other in prompt.controls))
        for prompt in prompts
    ]
    return controls, numbers


def _same(one: Control[Any], other: Control[Any]) -> bool:
    """Whether two controls are equal by content: values from a store are equal, never identical."""
    settings = (one.control_net, one.strength, one.start, one.end)
    return settings == (other.control_net, other.strength, other.start, other.end) and torch.equal(
        one.image, other.image
    )


def bound(control: Control[Any], latent: Latent[Any], net: Any, model: Denoiser) -> BoundControl:
    """A control on the device, its picture scaled to the latents' size in pixels, one for each item.

    Raises:
        InputError: where the ControlNet was made for another UNet.
    """
    check_steered(net.config, model.network.config)
    image = control.image.permute(0, 3, 1, 2)
    size = (latent.height, latent.width)
    if image.shape[2:] != size:
        image = nn.functional.interpolate(image, size, mode="bilinear", antialias=True)
    image = repeated(image, latent.batch_size, "the picture of a ControlNet")
    return BoundControl(net, image.to(net.device, net.dtype), control.strength, control.start, control.end)


def repeated(tensor: Tensor, batch: int, what: str) -> Tensor:
    """One row for each item of a batch.

    Raises:
        InputError: where there are neither one nor as many.
    """
    if len(tensor) not in (1, batch):
        raise InputError(
            f"{what} comes in a batch of {len(tensor)}, the latents in a batch of {batch}",
            "give one for all, or one for each",
            "batch-mismatch",
        )
    return tensor if len(tensor) == batch else tensor.repeat_interleave(batch, dim=0)
