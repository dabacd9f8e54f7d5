"""ControlNets for SD 3 and 3.5: InstantX's, which read the prompt, and Stability AI's, which do not.

Importing this module imports no torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from weft.nodes.families.flows import check_same_width
from weft.nodes.models.control_networks import (
    ControlNetwork,
    ControlNetworkFormat,
    ControlPicture,
    ControlPixels,
    check_mask_given,
    with_mask,
)
from weft.nodes.models.denoiser import Conditions, Denoiser, Residuals
from weft.nodes.models.safetensors_header import Shapes
from weft.nodes.models.single_file import count
from weft.nodes.models.single_file_transformers import HEAD
from weft.nodes.models.tensor_layouts import CONTROL_PREFIXES, Config, TensorLayout

if TYPE_CHECKING:
    from torch import Tensor

    from weft.nodes.models.autoencoder import Autoencoder

KINDS = {"blur": 0, "canny": 1, "depth": 2}
"""The kinds of pictures of Stability AI's ControlNets, as their files number them; each was trained for one."""


class SD3ControlNet(ControlNetwork):
    """A ControlNet for SD 3."""

    conditions = ("encoder_hidden_states", "pooled_projections")

    @classmethod
    def check_steered(cls, control: Mapping[str, Any], steered: Mapping[str, Any]) -> None:
        check_same_width(control, steered)

    @classmethod
    def reads_latents(cls, config: Mapping[str, Any]) -> bool:
        return True

    @classmethod
    def kinds(cls, config: Mapping[str, Any]) -> Mapping[str, int]:
        return {} if config.get("use_pos_embed", True) else KINDS

    @classmethod
    def check_mask(cls, config: Mapping[str, Any], given: bool) -> None:
        check_mask_given(given, needed=bool(config.get("extra_conditioning_channels")))

    @classmethod
    def needs_kind(cls, config: Mapping[str, Any]) -> bool:
        return False

    def prepared(self, given: ControlPixels, vae: Autoencoder | None, kind: int | None) -> tuple[Tensor, ...]:
        """InstantX's, which read no pooled prompt, were trained on latents that are not shifted, but for those that
        read a mask; Stability AI's for edges on pixels 255 times as far apart.
        """
        import torch

        assert vae is not None
        unshifted = self.network.config.force_zeros_for_pooled_projection and given.mask is None
        encode = vae.encode_unshifted if unshifted else vae.encode
        pictures = given.image.movedim(1, -1)
        if kind == KINDS["canny"]:
            pictures = (pictures * 255 * 0.5 + 0.5 + 1) / 2
        return (self.placed(with_mask(torch.cat([encode(one[None]) for one in pictures]), given.mask)),)

    def residuals(
        self,
        model: Denoiser,
        sample: Tensor,
        timestep: Tensor,
        conditions: Conditions,
        pictures: Sequence[ControlPicture],
    ) -> Residuals:
        """Those that have no positions of their own read the latents as the transformer embeds them."""
        (picture,) = pictures
        config, given = self.network.config, dict(conditions)
        if config.joint_attention_dim is None:
            given.pop("encoder_hidden_states")
        if config.force_zeros_for_pooled_projection:
            given["pooled_projections"] = given["pooled_projections"].new_zeros(given["pooled_projections"].shape)
        (added,) = self.network(
            hidden_states=sample if config.use_pos_embed else model.network.pos_embed(sample),
            controlnet_cond=picture.tensors[0],
            conditioning_scale=picture.strength,
            timestep=model.network_timestep(timestep).expand(len(sample)),
            **given,
            return_dict=False,
        )
        each = len(model.network.transformer_blocks) / len(added)
        over = [added[int(index / each)] for index in range(len(model.network.transformer_blocks))]
        return {"block_controlnet_hidden_states": over}


def control_config(shapes: Shapes) -> Config:
    """The configuration of an SD3ControlNetModel, from shapes under diffusers' names.

    That of a file in which nothing is embedded by the ControlNet itself is Stability AI's.
    """
    width, channels, patch, _ = shapes["pos_embed_input.proj.weight"]
    embeds, context = shapes.get("pos_embed.proj.weight"), shapes.get("context_embedder.weight")
    layers, table = count(shapes, "controlnet_blocks.{}.weight"), shapes.get("pos_embed.pos_embed")
    own: Config = {"in_channels": channels, "extra_conditioning_channels": 0}
    if embeds:
        own = {"in_channels": embeds[1], "extra_conditioning_channels": channels - embeds[1]}
    return {
        **own,
        "out_channels": own["in_channels"],
        "patch_size": patch,
        "num_layers": layers,
        "attention_head_dim": HEAD,
        "num_attention_heads": width // HEAD,
        "joint_attention_dim": context[1] if context else None,
        "caption_projection_dim": context[0] if context else width,
        "pooled_projection_dim": shapes["time_text_embed.text_embedder.linear_1.weight"][1],
        "pos_embed_max_size": int(table[1] ** 0.5) if table else None,
        "pos_embed_type": "sincos" if embeds else None,
        "use_pos_embed": embeds is not None,
        "force_zeros_for_pooled_projection": embeds is not None,
        "qk_norm": "rms_norm" if "transformer_blocks.0.attn.norm_q.weight" in shapes else None,
        "dual_attention_layers": tuple(
            index for index in range(layers) if f"transformer_blocks.{index}.attn2.to_q.weight" in shapes
        ),
    }


STABILITY_NAMES = {
    ".attn.proj.": ".attn.to_out.0.",
    ".mlp.fc1.": ".ff.net.0.proj.",
    ".mlp.fc2.": ".ff.net.2.",
    ".adaLN_modulation.1.": ".norm1.linear.",
}
"""Parts of names in Stability AI's files, and diffusers' in their place."""

JOINED = ".attn.qkv."
"""Where queries, keys and values are one tensor in Stability AI's files."""


def stability_weights(found: dict[str, Tensor], config: Config) -> dict[str, Tensor]:
    """The weights of one of Stability AI's files under diffusers' names."""
    named: dict[str, Tensor] = {}
    for name, tensor in found.items():
        if JOINED in name:
            parts = (".attn.to_q.", ".attn.to_k.", ".attn.to_v.")
            named |= zip((name.replace(JOINED, part) for part in parts), tensor.chunk(3), strict=True)
            continue
        for part, own in STABILITY_NAMES.items():
            name = name.replace(part, own)
        named[name] = tensor
    return named


class SD3ControlNetFormat(ControlNetworkFormat):
    """ControlNets for SD 3."""

    class_name = "SD3ControlNetModel"
    folder = ""
    layouts = (
        TensorLayout("transformer_blocks.0.attn.qkv.weight", control_config, stability_weights),
        TensorLayout("pos_embed_input.proj.weight", control_config),
    )
    prefixes = CONTROL_PREFIXES
    network_class = SD3ControlNet

    def unsupported(self, config: Mapping[str, Any]) -> str:
        channels = config.get("extra_conditioning_channels") or 0
        return "" if channels in (0, 1) else f"{channels} channels besides those of its picture"
