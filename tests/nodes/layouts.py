"""Weights of diffusers' modules under the names of the original layouts: single files for the tests to read back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

Tensors = dict[str, Any]
Rules = tuple[tuple[str, str], ...]

RESNET: Rules = (
    (r"(?<!transformer_blocks\.\d)\.norm1\.", ".in_layers.0."),
    (r"\.conv1\.", ".in_layers.2."),
    (r"(?<!transformer_blocks\.\d)\.norm2\.", ".out_layers.0."),
    (r"\.conv2\.", ".out_layers.3."),
    (r"\.time_emb_proj\.", ".emb_layers.1."),
    (r"\.conv_shortcut\.", ".skip_connection."),
)

ENDS: Rules = (
    (r"^time_embedding\.linear_1\.", "time_embed.0."),
    (r"^time_embedding\.linear_2\.", "time_embed.2."),
    (r"^conv_in\.", "input_blocks.0.0."),
    (r"^conv_norm_out\.", "out.0."),
    (r"^conv_out\.", "out.2."),
    (r"^down_blocks\.0\.resnets\.0\.", "input_blocks.1.0."),
    (r"^down_blocks\.0\.downsamplers\.0\.conv\.", "input_blocks.2.0.op."),
    (r"^down_blocks\.1\.resnets\.0\.", "input_blocks.3.0."),
    (r"^mid_block\.resnets\.0\.", "middle_block.0."),
    (r"^mid_block\.attentions\.0\.", "middle_block.1."),
    (r"^mid_block\.resnets\.1\.", "middle_block.2."),
    (r"^up_blocks\.0\.resnets\.([01])\.", r"output_blocks.\1.0."),
    (r"^up_blocks\.1\.resnets\.0\.", "output_blocks.2.0."),
    (r"^up_blocks\.1\.resnets\.1\.", "output_blocks.3.0."),
    *RESNET,
)

UNET: Rules = (
    (r"^down_blocks\.0\.attentions\.0\.", "input_blocks.1.1."),
    (r"^up_blocks\.0\.upsamplers\.0\.conv\.", "output_blocks.1.1.conv."),
    (r"^up_blocks\.1\.attentions\.0\.", "output_blocks.2.1."),
    (r"^up_blocks\.1\.attentions\.1\.", "output_blocks.3.1."),
    *ENDS,
)
"""A UNet with attention on its first level."""

DEEP_UNET: Rules = (
    (r"^add_embedding\.linear_1\.", "label_emb.0.0."),
    (r"^add_embedding\.linear_2\.", "label_emb.0.2."),
    (r"^down_blocks\.1\.attentions\.0\.", "input_blocks.3.1."),
    (r"^up_blocks\.0\.upsamplers\.0\.conv\.", "output_blocks.1.2.conv."),
    (r"^up_blocks\.0\.attentions\.([01])\.", r"output_blocks.\1.1."),
    *ENDS,
)
"""One with attention on its second level, as SDXL's."""

CONTROL: Rules = (
    (r"^controlnet_cond_embedding\.conv_in\.", "input_hint_block.0."),
    *((rf"^controlnet_cond_embedding\.blocks\.{i}\.", f"input_hint_block.{2 * i + 2}.") for i in range(6)),
    (r"^controlnet_cond_embedding\.conv_out\.", "input_hint_block.14."),
    (r"^controlnet_down_blocks\.(\d)\.", r"zero_convs.\1.0."),
    (r"^controlnet_mid_block\.", "middle_block_out.0."),
    *UNET,
)

VAE: Rules = (
    (r"\.down_blocks\.(\d)\.resnets\.(\d)\.", r".down.\1.block.\2."),
    (r"\.down_blocks\.(\d)\.downsamplers\.0\.conv\.", r".down.\1.downsample.conv."),
    *((rf"\.up_blocks\.{i}\.resnets\.(\d)\.", rf".up.{3 - i}.block.\1.") for i in range(4)),
    *((rf"\.up_blocks\.{i}\.upsamplers\.0\.conv\.", f".up.{3 - i}.upsample.conv.") for i in range(4)),
    (r"\.mid_block\.resnets\.0\.", ".mid.block_1."),
    (r"\.mid_block\.resnets\.1\.", ".mid.block_2."),
    (r"\.mid_block\.attentions\.0\.group_norm\.", ".mid.attn_1.norm."),
    (r"\.mid_block\.attentions\.0\.to_([qkv])\.", r".mid.attn_1.\1."),
    (r"\.mid_block\.attentions\.0\.to_out\.0\.", ".mid.attn_1.proj_out."),
    (r"\.conv_norm_out\.", ".norm_out."),
    (r"\.conv_shortcut\.", ".nin_shortcut."),
)


def renamed(found: Mapping[str, Any], rules: Rules, prefix: str) -> dict[str, Any]:
    """Weights of a diffusers module under the names of the original layout."""
    named = {}
    for name, tensor in found.items():
        for pattern, replacement in rules:
            name = re.sub(pattern, replacement, name)
        convolved = ".attn_1." in name and tensor.ndim == 2
        named[prefix + name] = (tensor[:, :, None, None] if convolved else tensor).contiguous()
    return named


def weights(folder: Path, component: str) -> Tensors:
    """The weights of a component of a diffusers folder."""
    name = "model" if component.startswith("text") else "diffusion_pytorch_model"
    return load_file(folder / component / f"{name}.safetensors")


def text_weights(folder: Path, component: str, prefix: str) -> Tensors:
    """A CLIP text model's weights as single files have them."""
    plain = {name.removeprefix("text_model."): tensor for name, tensor in weights(folder, component).items()}
    return {prefix + name: tensor for name, tensor in plain.items()}


OPEN_CLIP: Rules = (
    (r"^(text_model\.)?embeddings\.position_embedding\.weight", "positional_embedding"),
    (r"^(text_model\.)?embeddings\.token_embedding\.", "token_embedding."),
    (r"^(text_model\.)?final_layer_norm\.", "ln_final."),
    (r"^text_projection\.weight", "text_projection"),
    (r"^(text_model\.)?encoder\.layers\.", "transformer.resblocks."),
    (r"\.layer_norm([12])\.", r".ln_\1."),
    (r"\.fc1\.", ".c_fc."),
    (r"\.fc2\.", ".c_proj."),
    (r"\.self_attn\.", ".attn."),
)


def open_clip(found: Tensors, prefix: str) -> Tensors:
    """A CLIP text model's weights as OpenCLIP has them: queries, keys and values in one, the projection turned."""
    named = renamed(found, OPEN_CLIP, prefix)
    for name in [name for name in named if ".q_proj." in name]:
        parts = [named.pop(name.replace(".q_proj.", f".{part}_proj.")) for part in "qkv"]
        named[name.replace(".q_proj.", ".in_proj_")] = torch.cat(parts)
    if f"{prefix}text_projection" in named:
        named[f"{prefix}text_projection"] = named[f"{prefix}text_projection"].T.contiguous()
    return named


def vae(folder: Path, prefix: str = "first_stage_model.") -> Tensors:
    """A VAE's weights as single files have them."""
    return renamed(weights(folder, "vae"), VAE, prefix)


def sd1(folder: Path) -> Tensors:
    """The tensors of an SD 1.x folder as one file of the original layout has them."""
    return {
        **renamed(weights(folder, "unet"), UNET, "model.diffusion_model."),
        **vae(folder),
        **text_weights(folder, "text_encoder", "cond_stage_model.transformer.text_model."),
        "cond_stage_model.transformer.text_model.embeddings.position_ids": torch.arange(77)[None],
    }
