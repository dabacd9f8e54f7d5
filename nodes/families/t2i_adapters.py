"""T2I-Adapters for the UNets of SD 1.x and SDXL (https://arxiv.org/abs/2302.08453).

An adapter reads a picture alone, once for a run, and adds to the levels down. Importing this module imports no torch.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from weft.engine import InputError
from weft.nodes.models.control_networks import (
    ControlNetwork,
    ControlNetworkFormat,
    ControlPicture,
    ControlPixels,
    check_equal,
)
from weft.nodes.models.denoiser import LEVEL_RESIDUALS, Conditions, Denoiser, Residuals
from weft.nodes.models.safetensors_header import Shapes
from weft.nodes.models.single_file import count
from weft.nodes.models.tensor_layouts import CONTROL_PREFIXES, Config, TensorLayout

if TYPE_CHECKING:
    from torch import Tensor

    from weft.nodes.models.autoencoder import Autoencoder

FULL, FULL_XL, LIGHT = "full_adapter", "full_adapter_xl", "light_adapter"

FACTOR, XL_FACTOR = 8, 16
"""Pixels along each side of what becomes one element, for the adapters of SD 1.x and of SDXL."""

BRIGHTNESS = (0.299, 0.587, 0.114)
"""The shares of red, green and blue in grey (ITU-R BT.601), for adapters that read one channel."""


class T2IAdapterNetwork(ControlNetwork):
    """A T2I-Adapter."""

    @classmethod
    def check_steered(cls, control: Mapping[str, Any], steered: Mapping[str, Any]) -> None:
        widths = [*control["channels"]]
        if control.get("adapter_type") == LIGHT:
            widths.append(widths[-1])
        levels = [*steered["block_out_channels"]]
        levels += levels[-1:] * (len(widths) - len(levels))
        check_equal({"channels by level": widths}, {"channels by level": levels}, ("channels by level",))

    @classmethod
    def check_size(cls, config: Mapping[str, Any], width: int, height: int) -> None:
        factor = config.get("downscale_factor", FACTOR)
        if height % factor or width % factor:
            raise InputError(
                f"the T2I-Adapter takes pictures whose sides are multiples of {factor}, found {width} x {height}",
                f"ask for {max(width // factor, 1) * factor} x {max(height // factor, 1) * factor}",
                "wrong-size",
            )

    def prepared(self, given: ControlPixels, vae: Autoencoder | None, kind: int | None) -> tuple[Tensor, ...]:
        pixels = given.image
        if self.network.config.in_channels == 1:
            shares = pixels.new_tensor(BRIGHTNESS).view(1, -1, 1, 1)
            pixels = (pixels * shares).sum(dim=1, keepdim=True)
        return tuple(self.network(self.placed(pixels)))

    def residuals(
        self,
        model: Denoiser,
        sample: Tensor,
        timestep: Tensor,
        conditions: Conditions,
        pictures: Sequence[ControlPicture],
    ) -> Residuals:
        (picture,) = pictures
        return {LEVEL_RESIDUALS: [picture.strength * one for one in picture.tensors]}


def diffusers_config(shapes: Shapes) -> Config:
    """The configuration of a T2IAdapter, from shapes under diffusers' names."""
    levels = count(shapes, "adapter.body.{}.resnets.0.block1.weight")
    blocks = count(shapes, "adapter.body.0.resnets.{}.block1.weight")
    if (light := shapes.get("adapter.body.0.out_conv.weight")) is not None:
        widths = [light[0], *(shapes[f"adapter.body.{level}.out_conv.weight"][0] for level in range(1, levels - 1))]
        return _config(widths, blocks, LIGHT, shapes["adapter.body.0.in_conv.weight"][1], FACTOR)
    widths = [shapes[f"adapter.body.{level}.resnets.0.block1.weight"][0] for level in range(levels)]
    return _full_config(widths, blocks, shapes["adapter.conv_in.weight"][1])


def full_config(shapes: Shapes) -> Config:
    """The configuration of one in the layout of TencentARC, whose levels have two blocks each, numbered through."""
    blocks = count(shapes, "body.{}.block1.weight")
    return _full_config([shapes[f"body.{block}.block1.weight"][0] for block in range(0, blocks, 2)], 2, _seen(shapes))


def light_config(shapes: Shapes) -> Config:
    """The configuration of a light one in the layout of TencentARC."""
    levels, blocks = count(shapes, "body.{}.in_conv.weight"), count(shapes, "body.0.body.{}.block1.weight")
    widths = [shapes[f"body.{level}.out_conv.weight"][0] for level in range(levels - 1)]
    return _config(widths, blocks, LIGHT, shapes["body.0.in_conv.weight"][1], FACTOR)


def _seen(shapes: Shapes) -> int:
    return shapes["conv_in.weight"][1]


def _full_config(widths: list[int], blocks: int, seen: int) -> Config:
    """Those for SDXL see 16 by 16 pixels at once, others 8 by 8, of one channel or three."""
    large = seen in (XL_FACTOR**2, 3 * XL_FACTOR**2)
    return _config(widths, blocks, FULL_XL if large else FULL, seen, XL_FACTOR if large else FACTOR)


def _config(widths: list[int], blocks: int, kind: str, seen: int, factor: int) -> Config:
    return {
        "in_channels": seen // factor**2,
        "channels": widths,
        "num_res_blocks": blocks,
        "downscale_factor": factor,
        "adapter_type": kind,
    }


def full_weights(found: dict[str, Tensor], config: Config) -> dict[str, Tensor]:
    """The weights of one in the layout of TencentARC under diffusers' names."""
    return {_full_name(name): tensor for name, tensor in found.items()}


def _full_name(name: str) -> str:
    head, _, rest = name.partition(".")
    if head != "body":
        return f"adapter.{name}"
    number, _, inner = rest.partition(".")
    level, block = divmod(int(number), 2)
    within = "" if inner.startswith("in_conv.") else f"resnets.{block}."
    return f"adapter.body.{level}.{within}{inner}"


def light_weights(found: dict[str, Tensor], config: Config) -> dict[str, Tensor]:
    """The weights of a light one in the layout of TencentARC under diffusers' names."""
    return {f"adapter.{'.resnets.'.join(name.rsplit('.body.', 1))}": tensor for name, tensor in found.items()}


class T2IAdapterFormat(ControlNetworkFormat):
    """T2I-Adapters.

    Args:
        kinds: diffusers' names of the structures that the family's have.
    """

    class_name = "T2IAdapter"
    folder = ""
    layouts = (
        TensorLayout("adapter.body.0.resnets.0.block1.weight", diffusers_config),
        TensorLayout("body.0.block1.weight", full_config, full_weights),
        TensorLayout("body.0.body.0.block1.weight", light_config, light_weights),
    )
    prefixes = CONTROL_PREFIXES
    network_class = T2IAdapterNetwork

    def __init__(self, kinds: Collection[str]) -> None:
        self.kinds = kinds

    def fits(self, config: Mapping[str, Any]) -> bool:
        return config.get("adapter_type", FULL) in self.kinds

    def unsupported(self, config: Mapping[str, Any]) -> str:
        channels = config.get("in_channels", 3)
        return "" if channels in (1, 3) else f"pictures of {channels} channels"
