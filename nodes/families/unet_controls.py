"""ControlNets for UNets (https://arxiv.org/abs/2302.05543): how they are found, and what they add.

They are alike for SD 1.x, SD 2.x and SDXL. Importing this module imports no torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from weft.nodes.families.unets import UNetFormat
from weft.nodes.models.control_networks import ControlNetwork, ControlNetworkFormat, ControlPicture, check_equal
from weft.nodes.models.denoiser import DOWN_RESIDUALS, MIDDLE_RESIDUAL, Conditions, Denoiser, Residuals
from weft.nodes.models.single_file_unets import CONTROL_LAYOUTS
from weft.nodes.models.tensor_layouts import CONTROL_PREFIXES

if TYPE_CHECKING:
    from torch import Tensor

    from weft.nodes.models.autoencoder import Autoencoder

PICTURE_CHANNELS = 3
"""Channels of a ControlNet's picture."""


class UNetControlNet(ControlNetwork):
    """A ControlNet for a UNet."""

    conditions = ("encoder_hidden_states", "text_embeds", "time_ids")

    @property
    def pools(self) -> bool:
        return bool(self.network.config.global_pool_conditions)

    @classmethod
    def check_steered(cls, control: Mapping[str, Any], steered: Mapping[str, Any]) -> None:
        reads_prompts = any("CrossAttn" in kind for kind in control.get("down_block_types", ["CrossAttn"]))
        prompts = ("cross_attention_dim",) if reads_prompts else ()
        check_equal(control, steered, ("block_out_channels", "layers_per_block", *prompts))

    def prepared(self, pixels: Tensor, vae: Autoencoder | None, kind: int | None) -> tuple[Tensor, ...]:
        return (self.placed(pixels),)

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


class UNetControlNetFormat(UNetFormat, ControlNetworkFormat):
    """ControlNets for UNets."""

    class_name = "ControlNetModel"
    folder = ""
    layouts = CONTROL_LAYOUTS
    prefixes = CONTROL_PREFIXES
    network_class = UNetControlNet

    def fits(self, config: Mapping[str, Any]) -> bool:
        return self.is_family(config)

    def unsupported(self, config: Mapping[str, Any]) -> str:
        channels = config.get("conditioning_channels", PICTURE_CHANNELS)
        other = "" if channels == PICTURE_CHANNELS else f"pictures of {channels} channels"
        return super().unsupported(config) or other
