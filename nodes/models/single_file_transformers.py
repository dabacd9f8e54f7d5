"""SD 3's, FLUX.1's and Wan's transformers in their original layouts: configurations from shapes, weights renamed.

FLUX.1's are renamed here, since diffusers' converter is written for one size. Importing this module imports no torch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from math import prod
from typing import TYPE_CHECKING, Any

from weft.nodes.models.original_modules import FLUX_MODULES, SD3_MODULES, WAN_MODULES, parted_shapes
from weft.nodes.models.safetensors_header import Shapes
from weft.nodes.models.single_file import count
from weft.nodes.models.tensor_layouts import Config, TensorLayout

if TYPE_CHECKING:
    from torch import Tensor

HEAD = 64
"""Channels of an attention head in SD 3."""


def sd3_config(shapes: Shapes) -> Config:
    """The configuration of an SD3Transformer2DModel."""
    width, channels, patch, _ = shapes["x_embedder.proj.weight"]
    predicted = shapes["final_layer.linear.weight"][0] // patch**2
    layers = count(shapes, "joint_blocks.{}.x_block.attn.qkv.weight")
    return {
        "in_channels": channels,
        "out_channels": predicted,
        "patch_size": patch,
        "num_layers": layers,
        "attention_head_dim": HEAD,
        "num_attention_heads": width // HEAD,
        "joint_attention_dim": shapes["context_embedder.weight"][1],
        "caption_projection_dim": shapes["context_embedder.weight"][0],
        "pooled_projection_dim": shapes["y_embedder.mlp.0.weight"][1],
        "pos_embed_max_size": int(shapes["pos_embed"][1] ** 0.5),
        "qk_norm": "rms_norm" if "joint_blocks.0.x_block.attn.ln_q.weight" in shapes else None,
        "dual_attention_layers": tuple(
            index for index in range(layers) if f"joint_blocks.{index}.x_block.attn2.qkv.weight" in shapes
        ),
    }


def diffusers_sd3_config(shapes: Shapes) -> Config:
    """The same, from shapes under diffusers' names."""
    width, channels, patch, _ = shapes["pos_embed.proj.weight"]
    layers = count(shapes, "transformer_blocks.{}.attn.to_q.weight")
    return {
        "in_channels": channels,
        "out_channels": shapes["proj_out.weight"][0] // patch**2,
        "patch_size": patch,
        "num_layers": layers,
        "attention_head_dim": HEAD,
        "num_attention_heads": width // HEAD,
        "joint_attention_dim": shapes["context_embedder.weight"][1],
        "caption_projection_dim": shapes["context_embedder.weight"][0],
        "pooled_projection_dim": shapes["time_text_embed.text_embedder.linear_1.weight"][1],
        "pos_embed_max_size": int(shapes["pos_embed.pos_embed"][1] ** 0.5),
        "qk_norm": "rms_norm" if "transformer_blocks.0.attn.norm_q.weight" in shapes else None,
        "dual_attention_layers": tuple(
            index for index in range(layers) if f"transformer_blocks.{index}.attn2.to_q.weight" in shapes
        ),
    }


def sd3_weights(found: dict[str, Tensor], config: Config) -> dict[str, Tensor]:
    """An SD 3 transformer's weights under diffusers' names."""
    from diffusers.loaders import single_file_utils

    convert: Any = single_file_utils.convert_sd3_transformer_checkpoint_to_diffusers
    converted: dict[str, Tensor] = convert(found)
    return converted


def flux_config(shapes: Shapes) -> Config:
    """The configuration of a FluxTransformer2DModel."""
    return {**flux_sizes(shapes), "out_channels": shapes["final_layer.linear.weight"][0]}


def flux_sizes(shapes: Shapes) -> Config:
    """What shapes say of the blocks of FLUX.1, or of a ControlNet whose blocks have their names.

    A head's channels are shared 1 : 3.5 : 3.5 by time and place.
    """
    head = shapes["double_blocks.0.img_attn.norm.query_norm.scale"][0]
    return {
        "in_channels": shapes["img_in.weight"][1],
        "num_layers": count(shapes, "double_blocks.{}.img_mod.lin.weight"),
        "num_single_layers": count(shapes, "single_blocks.{}.linear1.weight"),
        "attention_head_dim": head,
        "num_attention_heads": shapes["img_in.weight"][0] // head,
        "joint_attention_dim": shapes["txt_in.weight"][1],
        "pooled_projection_dim": shapes["vector_in.in_layer.weight"][1],
        "guidance_embeds": "guidance_in.in_layer.weight" in shapes,
        "axes_dims_rope": (head // 8, head * 7 // 16, head * 7 // 16),
    }


def diffusers_flux_config(shapes: Shapes) -> Config:
    """The configuration of a FluxTransformer2DModel, from shapes under diffusers' names."""
    return {**diffusers_flux_sizes(shapes), "out_channels": shapes["proj_out.weight"][0]}


def diffusers_flux_sizes(shapes: Shapes) -> Config:
    """The same as `flux_sizes`, from shapes under diffusers' names."""
    head = shapes["transformer_blocks.0.attn.norm_q.weight"][0]
    return {
        "in_channels": shapes["x_embedder.weight"][1],
        "num_layers": count(shapes, "transformer_blocks.{}.attn.to_q.weight"),
        "num_single_layers": count(shapes, "single_transformer_blocks.{}.attn.to_q.weight"),
        "attention_head_dim": head,
        "num_attention_heads": shapes["x_embedder.weight"][0] // head,
        "joint_attention_dim": shapes["context_embedder.weight"][1],
        "pooled_projection_dim": shapes["time_text_embed.text_embedder.linear_1.weight"][1],
        "guidance_embeds": "time_text_embed.guidance_embedder.linear_1.weight" in shapes,
        "axes_dims_rope": (head // 8, head * 7 // 16, head * 7 // 16),
    }


FLUX_RULES = (
    (r"^(time|guidance)_in\.in_layer\.", r"time_text_embed.\1_embedder.linear_1."),
    (r"^(time|guidance)_in\.out_layer\.", r"time_text_embed.\1_embedder.linear_2."),
    (r"\.time_embedder\.", ".timestep_embedder."),
    (r"^vector_in\.in_layer\.", "time_text_embed.text_embedder.linear_1."),
    (r"^vector_in\.out_layer\.", "time_text_embed.text_embedder.linear_2."),
    (r"^txt_in\.", "context_embedder."),
    (r"^img_in\.", "x_embedder."),
    (r"^final_layer\.linear\.", "proj_out."),
    (r"^final_layer\.adaLN_modulation\.1\.", "norm_out.linear."),
    (r"^double_blocks\.", "transformer_blocks."),
    (r"^single_blocks\.", "single_transformer_blocks."),
    (r"\.img_mod\.lin\.", ".norm1.linear."),
    (r"\.txt_mod\.lin\.", ".norm1_context.linear."),
    (r"\.modulation\.lin\.", ".norm.linear."),
    (r"\.img_attn\.norm\.(.)[a-z]+_norm\.scale", r".attn.norm_\1.weight"),
    (r"\.txt_attn\.norm\.(.)[a-z]+_norm\.scale", r".attn.norm_added_\1.weight"),
    (r"\.norm\.(.)[a-z]+_norm\.scale", r".attn.norm_\1.weight"),
    (r"\.img_attn\.proj\.", ".attn.to_out.0."),
    (r"\.txt_attn\.proj\.", ".attn.to_add_out."),
    (r"\.img_mlp\.0\.", ".ff.net.0.proj."),
    (r"\.img_mlp\.2\.", ".ff.net.2."),
    (r"\.txt_mlp\.0\.", ".ff_context.net.0.proj."),
    (r"\.txt_mlp\.2\.", ".ff_context.net.2."),
    (r"\.linear2\.", ".proj_out."),
)
"""Names of the original layout, and diffusers' in their place, in the order in which they are replaced."""

FLUX_JOINED = {
    ".img_attn.qkv.": (".attn.to_q.", ".attn.to_k.", ".attn.to_v."),
    ".txt_attn.qkv.": (".attn.add_q_proj.", ".attn.add_k_proj.", ".attn.add_v_proj."),
    ".linear1.": (".attn.to_q.", ".attn.to_k.", ".attn.to_v.", ".proj_mlp."),
}
"""What is one tensor in the original layout and several in diffusers'; the last of `linear1` has the rest."""


def flux_weights(found: dict[str, Tensor], config: Config) -> dict[str, Tensor]:
    """A FLUX.1 transformer's weights under diffusers' names."""
    import torch

    named = flux_names(found)
    for name in ("norm_out.linear.weight", "norm_out.linear.bias"):
        shift, scale = named[name].chunk(2)
        named[name] = torch.cat([scale, shift])
    return named


def flux_names(found: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What blocks and embeddings of FLUX.1's layout have, under diffusers' names."""
    import torch

    width = found["img_in.weight"].shape[0]
    parted: dict[str, Tensor] = {}
    for name, tensor in found.items():
        joined = next((part for part in FLUX_JOINED if part in name), None)
        if joined is None:
            parted[name] = tensor
            continue
        names = [name.replace(joined, part) for part in FLUX_JOINED[joined]]
        sizes = [width] * (len(names) - 1)
        parted |= zip(names, torch.split(tensor, [*sizes, len(tensor) - sum(sizes)]), strict=True)
    return {_named(name): tensor for name, tensor in parted.items()}


def _named(name: str) -> str:
    for pattern, replacement in FLUX_RULES:
        name = re.sub(pattern, replacement, name)
    return name


WAN_HEAD = 128
"""Channels of an attention head in Wan."""

WAN_PARTS = (
    *("patch_embedding.", "text_embedding.", "time_embedding.", "time_projection."),
    *("blocks.", "head.", "img_emb."),
)
"""What the names of its tensors begin with."""

WAN_POSITIONS = "img_emb.emb_pos"
"""Wan's table of places for the tokens of a first and a last picture."""


def wan_config(shapes: Shapes) -> Config:
    """The configuration of a WanTransformer3DModel; raises ValueError for networks with further parts (VACE, S2V)."""
    width, channels, *patch = shapes["patch_embedding.weight"]
    if others := [name for name in shapes if not name.startswith(WAN_PARTS)]:
        raise ValueError(others[0])
    pictures = shapes.get("img_emb.proj.1.weight")
    return {
        "patch_size": tuple(patch),
        "in_channels": channels,
        "out_channels": shapes["head.head.weight"][0] // prod(patch),
        "num_attention_heads": width // WAN_HEAD,
        "attention_head_dim": WAN_HEAD,
        "freq_dim": shapes["time_embedding.0.weight"][1],
        "text_dim": shapes["text_embedding.0.weight"][1],
        "ffn_dim": shapes["blocks.0.ffn.0.weight"][0],
        "num_layers": count(shapes, "blocks.{}.self_attn.q.weight"),
        "cross_attn_norm": "blocks.0.norm3.weight" in shapes,
        "image_dim": pictures[1] if pictures else None,
        "added_kv_proj_dim": width if pictures else None,
        "pos_embed_seq_len": shapes[WAN_POSITIONS][1] if WAN_POSITIONS in shapes else None,
    }


def wan_weights(found: dict[str, Tensor], config: Config) -> dict[str, Tensor]:
    """A Wan transformer's weights under diffusers' names."""
    from diffusers.loaders import single_file_utils

    convert: Any = single_file_utils.convert_wan_transformer_to_diffusers
    positions = found.pop(WAN_POSITIONS, None)
    converted: dict[str, Tensor] = convert(found)
    if positions is not None:
        converted["condition_embedder.image_embedder.pos_embed"] = positions
    return converted


SD3_SHAPES, FLUX_SHAPES, WAN_SHAPES = (
    partial(parted_shapes, table) for table in (SD3_MODULES, FLUX_MODULES, WAN_MODULES)
)

SD3_LAYOUTS = (
    TensorLayout("joint_blocks.0.x_block.attn.qkv.weight", sd3_config, sd3_weights, SD3_SHAPES),
    TensorLayout("pos_embed.proj.weight", diffusers_sd3_config),
)
"""The original layout, and diffusers' own."""

FLUX_LAYOUTS = (
    TensorLayout("double_blocks.0.img_attn.qkv.weight", flux_config, flux_weights, FLUX_SHAPES),
    TensorLayout("single_transformer_blocks.0.attn.to_q.weight", diffusers_flux_config),
)
"""The original layout, and diffusers' own."""

WAN_LAYOUTS = (TensorLayout("blocks.0.self_attn.q.weight", wan_config, wan_weights, WAN_SHAPES),)
"""The original layout."""
