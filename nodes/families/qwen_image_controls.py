"""ControlNets for Qwen-Image (InstantX, DiffSynth-Studio), which read latents. Importing this imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from weft.engine import InputError
from weft.nodes.families.flows import PATCH, check_same_width, over_blocks, packed
from weft.nodes.models.control_networks import (
    ControlNetwork,
    ControlNetworkFormat,
    ControlPicture,
    ControlPixels,
    check_equal,
    check_mask_given,
    with_mask,
)
from weft.nodes.models.denoiser import Conditions, Denoiser, Residuals
from weft.nodes.models.safetensors_header import Shapes
from weft.nodes.models.single_file import count
from weft.nodes.models.tensor_layouts import CONTROL_PREFIXES, Config, TensorLayout

if TYPE_CHECKING:
    from torch import Tensor

    from weft.nodes.models.autoencoder import Autoencoder

ROPE_SIXTEENTHS = (2, 7, 7)
"""Sixteenths of an attention head's channels that encode the frame, the row and the column."""


def check_one_picture(steered: Mapping[str, Any]) -> None:
    """Raise `InputError` where a control network is to steer a model that divides a picture into layers.

    Args:
        steered: the configuration of the model's network.
    """
    if steered.get("use_layer3d_rope"):
        message = "control networks act on one picture, and the model divides one into layers"
        raise InputError(message, "leave ApplyControlNet out", "wrong-control-net")


class QwenImageControlNet(ControlNetwork):
    """A ControlNet for Qwen-Image."""

    conditions: ClassVar[tuple[str, ...]] = ("encoder_hidden_states", "encoder_hidden_states_mask")
    reads_positive = True

    @classmethod
    def check_steered(cls, control: Mapping[str, Any], steered: Mapping[str, Any]) -> None:
        check_one_picture(steered)
        check_same_width(control, steered)

    @classmethod
    def reads_latents(cls, config: Mapping[str, Any]) -> bool:
        return True

    @classmethod
    def check_mask(cls, config: Mapping[str, Any], given: bool) -> None:
        check_mask_given(given, needed=bool(config.get("extra_condition_channels")))

    def prepared(self, given: ControlPixels, vae: Autoencoder | None, kind: int | None) -> tuple[Tensor, ...]:
        import torch

        assert vae is not None
        latents = [vae.encode(one[None].movedim(1, -1)) for one in given.image]
        return (self.placed(packed(with_mask(torch.cat(latents), given.mask))),)

    def residuals(
        self,
        model: Denoiser,
        sample: Tensor,
        timestep: Tensor,
        conditions: Conditions,
        pictures: Sequence[ControlPicture],
    ) -> Residuals:
        (picture,) = pictures
        rows, _, height, width = sample.shape
        added = self.network(
            hidden_states=packed(sample),
            controlnet_cond=picture.tensors[0],
            conditioning_scale=picture.strength,
            timestep=model.network_timestep(timestep).expand(rows).to(sample.dtype),
            img_shapes=[[(1, height // PATCH, width // PATCH)]] * rows,
            **conditions,
            return_dict=False,
        )
        return {"controlnet_block_samples": over_blocks(added, len(model.network.transformer_blocks))}


def transformer_sizes(shapes: Shapes) -> Config:
    """What shapes say of the blocks of a Qwen-Image transformer, or of a ControlNet for one."""
    width, channels = shapes["img_in.weight"]
    (head,) = shapes["transformer_blocks.0.attn.norm_q.weight"]
    return {
        "in_channels": channels,
        "num_layers": count(shapes, "transformer_blocks.{}.txt_mod.1.weight"),
        "attention_head_dim": head,
        "num_attention_heads": width // head,
        "joint_attention_dim": shapes["txt_in.weight"][1],
        "axes_dims_rope": [head * sixteenths // 16 for sixteenths in ROPE_SIXTEENTHS],
    }


def control_config(shapes: Shapes) -> Config:
    """The configuration of a QwenImageControlNetModel, from shapes."""
    channels = shapes["img_in.weight"][1]
    return {
        **transformer_sizes(shapes),
        "out_channels": channels // PATCH**2,
        "extra_condition_channels": shapes["controlnet_x_embedder.weight"][1] - channels,
    }


class BlockwiseControl(QwenImageControlNet):
    """A blockwise control network of DiffSynth-Studio's, which adds to each block by what that has computed."""

    conditions: ClassVar[tuple[str, ...]] = ()
    reads_positive = False

    @classmethod
    def check_steered(cls, control: Mapping[str, Any], steered: Mapping[str, Any]) -> None:
        check_one_picture(steered)
        width = steered["num_attention_heads"] * steered["attention_head_dim"]
        check_equal(control, {"num_layers": steered["num_layers"], "width": width}, ("num_layers", "width"))

    @classmethod
    def check_mask(cls, config: Mapping[str, Any], given: bool) -> None:
        check_mask_given(given, needed=False)

    def residuals(
        self,
        model: Denoiser,
        sample: Tensor,
        timestep: Tensor,
        conditions: Conditions,
        pictures: Sequence[ControlPicture],
    ) -> Residuals:
        from weft.nodes.models.blockwise_control import residuals_of

        (picture,) = pictures
        return residuals_of(self.network, picture.tensors[0], picture.strength)


def blockwise_config(shapes: Shapes) -> Config:
    """The configuration of a blockwise control network, from shapes."""
    width, channels = shapes["img_in.weight"]
    layers = count(shapes, "controlnet_blocks.{}.x_rms.weight")
    return {"num_layers": layers, "in_channels": channels, "width": width}


class BlockwiseControlFormat(ControlNetworkFormat):
    """Blockwise control networks for Qwen-Image: Canny and depth."""

    class_name = "QwenImageBlockwiseControlNet"
    folder = ""
    layouts = (TensorLayout("controlnet_blocks.0.x_rms.weight", blockwise_config),)
    prefixes = CONTROL_PREFIXES
    network_class = BlockwiseControl

    def unsupported(self, config: Mapping[str, Any]) -> str:
        further = int(config["in_channels"]) - LATENT_CHANNELS * PATCH**2
        return f"{further} channels besides those of its picture, a mask" if further else ""

    def network_kind(self) -> Any:
        from weft.nodes.models.blockwise_control import QwenImageBlockwiseControlNet

        return QwenImageBlockwiseControlNet


LATENT_CHANNELS = 16
"""Channels of Qwen-Image's latents."""


class QwenImageControlNetFormat(ControlNetworkFormat):
    """ControlNets for Qwen-Image."""

    class_name = "QwenImageControlNetModel"
    folder = ""
    layouts = (TensorLayout("controlnet_x_embedder.weight", control_config),)
    prefixes = CONTROL_PREFIXES
    network_class = QwenImageControlNet

    def unsupported(self, config: Mapping[str, Any]) -> str:
        channels = config.get("extra_condition_channels") or 0
        return "" if channels in (0, PATCH**2) else f"{channels} channels besides those of its picture"
