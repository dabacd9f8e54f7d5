"""ControlNets for UNets (https://arxiv.org/abs/2302.05543): how they are found, and what they add.

They are alike for SD 1.x, SD 2.x and SDXL. Importing this module imports no torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from weft.nodes.families.unets import UNetFormat
from weft.nodes.models.control_networks import (
    ControlNetwork,
    ControlNetworkFormat,
    ControlPicture,
    ControlPixels,
    check_equal,
    check_mask_given,
)
from weft.nodes.models.denoiser import DOWN_RESIDUALS, MIDDLE_RESIDUAL, Conditions, Denoiser, Residuals
from weft.nodes.models.safetensors_header import Shapes
from weft.nodes.models.single_file import count
from weft.nodes.models.single_file_unets import CONTROL_LAYOUTS
from weft.nodes.models.tensor_layouts import CONTROL_PREFIXES, Config, TensorLayout

if TYPE_CHECKING:
    from torch import Tensor

    from weft.nodes.models.autoencoder import Autoencoder

PICTURE_CHANNELS = 3
"""Channels of a ControlNet's picture."""


class UNetControlNet(ControlNetwork):
    """A ControlNet for a UNet."""

    conditions = ("encoder_hidden_states", "text_embeds", "time_ids")
    masked_value = -1.0

    @property
    def pools(self) -> bool:
        return bool(self.network.config.global_pool_conditions)

    @classmethod
    def check_steered(cls, control: Mapping[str, Any], steered: Mapping[str, Any]) -> None:
        reads_prompts = any("CrossAttn" in kind for kind in control.get("down_block_types", ["CrossAttn"]))
        prompts = ("cross_attention_dim",) if reads_prompts else ()
        check_equal(control, steered, ("block_out_channels", "layers_per_block", *prompts))

    @classmethod
    def check_mask(cls, config: Mapping[str, Any], given: bool) -> None:
        """Headers do not tell whether one was trained to inpaint."""

    def prepared(self, given: ControlPixels, vae: Autoencoder | None, kind: int | None) -> tuple[Tensor, ...]:
        return (self.placed(given.image),)

    def residuals(
        self,
        model: Denoiser,
        sample: Tensor,
        timestep: Tensor,
        conditions: Conditions,
        pictures: Sequence[ControlPicture],
    ) -> Residuals:
        (picture,) = pictures
        down, middle = self.network(
            sample,
            timestep,
            **model.arguments(conditions),
            controlnet_cond=picture.tensors[0],
            conditioning_scale=picture.strength,
            return_dict=False,
        )
        return {DOWN_RESIDUALS: [*down], MIDDLE_RESIDUAL: [middle]}


KINDS = {
    "pose": 0,
    "depth": 1,
    "soft_edge": 2,
    "canny": 3,
    "normal": 4,
    "segmentation": 5,
    "tile": 6,
    "repaint": 7,
}
"""The kinds of pictures of a ControlNet for several, as xinsir's for SDXL number them; the first six or all."""


class UNetControlNetUnion(UNetControlNet):
    """A ControlNet of several kinds of pictures, which it reads in one call."""

    fuses = True

    @classmethod
    def check_mask(cls, config: Mapping[str, Any], given: bool) -> None:
        """Its kind `repaint` reads a picture that is black where it is to be replaced."""
        check_mask_given(given, needed=False)

    @classmethod
    def kinds(cls, config: Mapping[str, Any]) -> Mapping[str, int]:
        return {kind: number for kind, number in KINDS.items() if number < (config.get("num_control_type") or 6)}

    def residuals(
        self,
        model: Denoiser,
        sample: Tensor,
        timestep: Tensor,
        conditions: Conditions,
        pictures: Sequence[ControlPicture],
    ) -> Residuals:
        kinds = [picture.kind for picture in pictures if picture.kind is not None]
        marked = sample.new_zeros(len(sample), self.network.config.num_control_type)
        marked[:, kinds] = 1
        down, middle = self.network(
            sample,
            timestep,
            **model.arguments(conditions),
            controlnet_cond=[picture.tensors[0] for picture in pictures],
            control_type=marked,
            control_type_idx=kinds,
            conditioning_scale=[picture.strength for picture in pictures],
            return_dict=False,
        )
        return {DOWN_RESIDUALS: [*down], MIDDLE_RESIDUAL: [middle]}


class UNetControlNetFormat(UNetFormat, ControlNetworkFormat):
    """ControlNets for UNets."""

    class_name = "ControlNetModel"
    folder = ""
    layouts: ClassVar[tuple[TensorLayout, ...]] = CONTROL_LAYOUTS
    prefixes = CONTROL_PREFIXES
    network_class = UNetControlNet

    def fits(self, config: Mapping[str, Any]) -> bool:
        return self.is_family(config)

    def unsupported(self, config: Mapping[str, Any]) -> str:
        channels = config.get("conditioning_channels", PICTURE_CHANNELS)
        other = "" if channels == PICTURE_CHANNELS else f"pictures of {channels} channels"
        return super().unsupported(config) or other


def union_config(layout: TensorLayout, shapes: Shapes) -> Config:
    """The configuration of a ControlNetUnionModel, from shapes in a layout of ControlNets."""
    config, (types, channels) = layout.config(shapes), shapes["task_embedding"]
    return config | {
        "num_control_type": types,
        "num_trans_channel": channels,
        "num_trans_layer": count(shapes, "transformer_layes.{}.ln_1.weight"),
        "num_proj_channel": shapes["spatial_ch_projs.weight"][0],
    }


class UNetControlNetUnionFormat(UNetControlNetFormat):
    """ControlNets of several kinds of pictures."""

    class_name = "ControlNetUnionModel"
    aliases = ("ControlNetModel", "ControlNetModel_Union")
    layouts = tuple(
        TensorLayout(layout.entry, partial(union_config, layout), layout.weights) for layout in CONTROL_LAYOUTS
    )
    network_class = UNetControlNetUnion

    def fits(self, config: Mapping[str, Any]) -> bool:
        several = config.get("num_control_type") is not None or "Union" in str(config.get("_class_name"))
        return several and self.is_family(config)

    def unsupported(self, config: Mapping[str, Any]) -> str:
        return super().unsupported({**config, "num_control_type": None})
