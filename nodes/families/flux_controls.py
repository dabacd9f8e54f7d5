"""ControlNets for FLUX.1: those that read latents (InstantX, Shakker Labs), of one kind or several, and XLabs', which
read pixels.

What each adds to a block is added to as many blocks of the transformer as it has fewer: to neighbours, or in turn.
Importing this module imports no torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from weft.nodes.families.flows import PATCH, check_same_width, over_blocks, packed, places
from weft.nodes.models.control_networks import ControlNetwork, ControlNetworkFormat, ControlPicture, ControlPixels
from weft.nodes.models.denoiser import Conditions, Denoiser, Residuals
from weft.nodes.models.safetensors_header import Shapes
from weft.nodes.models.single_file_transformers import diffusers_flux_sizes, flux_names, flux_sizes
from weft.nodes.models.tensor_layouts import CONTROL_PREFIXES, Config, TensorLayout

if TYPE_CHECKING:
    from torch import Tensor

    from weft.nodes.models.autoencoder import Autoencoder

KINDS = {"canny": 0, "tile": 1, "depth": 2, "blur": 3, "pose": 4, "gray": 5, "low_quality": 6}
"""The kinds of pictures of a ControlNet for several, as InstantX and Shakker Labs number them."""

DOUBLE, SINGLE = "controlnet_block_samples", "controlnet_single_block_samples"


class FluxControlNet(ControlNetwork):
    """A ControlNet for FLUX.1."""

    conditions = ("encoder_hidden_states", "pooled_projections", "guidance")
    reads_positive = True

    @classmethod
    def check_steered(cls, control: Mapping[str, Any], steered: Mapping[str, Any]) -> None:
        # The ControlNet has a size of patches of its own, that of its hint.
        check_same_width({**control, "patch_size": None}, steered)

    @classmethod
    def reads_latents(cls, config: Mapping[str, Any]) -> bool:
        return config.get("conditioning_embedding_channels") is None

    @classmethod
    def kinds(cls, config: Mapping[str, Any]) -> Mapping[str, int]:
        return {kind: number for kind, number in KINDS.items() if number < (config.get("num_mode") or 0)}

    def prepared(self, given: ControlPixels, vae: Autoencoder | None, kind: int | None) -> tuple[Tensor, ...]:
        import torch

        if vae is None:
            return (self.placed(2 * given.image - 1),)
        latents = [vae.encode(one[None].movedim(1, -1)) for one in given.image]
        return (self.placed(packed(torch.cat(latents))),)

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
        numbers, config = places(height // PATCH, width // PATCH, sample), self.network.config
        given = dict(conditions)
        if not config.guidance_embeds:
            given.pop("guidance", None)
        mode = None if picture.kind is None else numbers.new_full((rows, 1), picture.kind).long()
        double, single = self.network(
            hidden_states=packed(sample),
            controlnet_cond=picture.tensors[0],
            controlnet_mode=mode,
            conditioning_scale=picture.strength,
            timestep=model.network_timestep(timestep).expand(rows).to(sample.dtype),
            img_ids=numbers,
            txt_ids=numbers.new_zeros(given["encoder_hidden_states"].shape[1], 3),
            **given,
            return_dict=False,
        )
        network = model.network
        in_turn = not self.reads_latents(config)
        added = {
            DOUBLE: over_blocks(double or [], len(network.transformer_blocks), in_turn),
            SINGLE: over_blocks(single or [], len(network.single_transformer_blocks)),
        }
        return {name: tensors for name, tensors in added.items() if tensors}


def control_config(shapes: Shapes) -> Config:
    """The configuration of a FluxControlNetModel, from shapes under diffusers' names.

    Raises:
        ValueError: for one whose picture has more channels than the latents, such as a mask.
    """
    channels, modes = shapes["x_embedder.weight"][1], shapes.get("controlnet_mode_embedder.weight")
    hint = shapes.get("input_hint_block.conv_out.weight")
    if shapes["controlnet_x_embedder.weight"][1] != channels:
        raise ValueError("another number of channels than latents have")
    return {
        **diffusers_flux_sizes(shapes),
        "num_mode": modes[0] if modes else None,
        **({"conditioning_embedding_channels": hint[0], "patch_size": PATCH} if hint else {}),
    }


HINT = {0: "conv_in", **{2 * index + 2: f"blocks.{index}" for index in range(6)}, 14: "conv_out"}
"""The convolutions of XLabs' hint: their numbers, and diffusers' names."""


def xlabs_config(shapes: Shapes) -> Config:
    """The configuration of one of XLabs', whose blocks are named as FLUX.1's own."""
    hint = shapes["input_hint_block.14.weight"][0]
    return {**flux_sizes(shapes), "conditioning_embedding_channels": hint, "patch_size": PATCH}


def xlabs_weights(found: dict[str, Tensor], config: Config) -> dict[str, Tensor]:
    """The weights of one of XLabs' under diffusers' names."""
    return {_xlabs_named(name): tensor for name, tensor in flux_names(found).items()}


def _xlabs_named(name: str) -> str:
    head, _, rest = name.partition(".")
    if head == "input_hint_block":
        number, _, rest = rest.partition(".")
        return f"{head}.{HINT.get(int(number), number)}.{rest}"
    return f"controlnet_x_embedder.{rest}" if head == "pos_embed_input" else name


class FluxControlNetFormat(ControlNetworkFormat):
    """ControlNets for FLUX.1."""

    class_name = "FluxControlNetModel"
    folder = ""
    layouts = (
        TensorLayout("controlnet_x_embedder.weight", control_config),
        TensorLayout("pos_embed_input.weight", xlabs_config, xlabs_weights),
    )
    prefixes = CONTROL_PREFIXES
    network_class = FluxControlNet
