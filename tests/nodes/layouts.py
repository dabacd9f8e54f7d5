"""Weights of diffusers' modules under the names of the original layouts: single files for the tests to read back."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
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

WAN_VAE: Rules = (
    (r"\.norm1\.gamma$", ".residual.0.gamma"),
    (r"\.norm2\.gamma$", ".residual.3.gamma"),
    (r"\.conv1\.", ".residual.2."),
    (r"\.conv2\.", ".residual.6."),
    (r"\.conv_shortcut\.", ".shortcut."),
    (r"^encoder\.down_blocks\.", "encoder.downsamples."),
    *(
        (rf"^decoder\.up_blocks\.{i}\.resnets\.{j}\.", f"decoder.upsamples.{4 * i + j}.")
        for i in range(4)
        for j in range(3)
    ),
    *((rf"^decoder\.up_blocks\.{i}\.upsamplers\.0\.", f"decoder.upsamples.{4 * i + 3}.") for i in range(3)),
    (r"\.mid_block\.resnets\.0\.", ".middle.0."),
    (r"\.mid_block\.resnets\.1\.", ".middle.2."),
    (r"\.mid_block\.attentions\.0\.", ".middle.1."),
    (r"\.norm_out\.", ".head.0."),
    (r"\.conv_out\.", ".head.2."),
    (r"^(encoder|decoder)\.conv_in\.", r"\1.conv1."),
    (r"^post_quant_conv\.", "conv2."),
    (r"^quant_conv\.", "conv1."),
)
"""Wan's VAE: diffusers' names, and those in which its authors publish it."""


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


SD3: Rules = (
    (r"^pos_embed\.pos_embed$", "pos_embed"),
    (r"^pos_embed\.proj\.", "x_embedder.proj."),
    (r"^time_text_embed\.timestep_embedder\.linear_1\.", "t_embedder.mlp.0."),
    (r"^time_text_embed\.timestep_embedder\.linear_2\.", "t_embedder.mlp.2."),
    (r"^time_text_embed\.text_embedder\.linear_1\.", "y_embedder.mlp.0."),
    (r"^time_text_embed\.text_embedder\.linear_2\.", "y_embedder.mlp.2."),
    (r"^proj_out\.", "final_layer.linear."),
    (r"^norm_out\.linear\.", "final_layer.adaLN_modulation.1."),
    (r"^transformer_blocks\.", "joint_blocks."),
    (r"\.norm1\.linear\.", ".x_block.adaLN_modulation.1."),
    (r"\.norm1_context\.linear\.", ".context_block.adaLN_modulation.1."),
    (r"\.ff\.net\.0\.proj\.", ".x_block.mlp.fc1."),
    (r"\.ff\.net\.2\.", ".x_block.mlp.fc2."),
    (r"\.ff_context\.net\.0\.proj\.", ".context_block.mlp.fc1."),
    (r"\.ff_context\.net\.2\.", ".context_block.mlp.fc2."),
    (r"\.attn\.norm_added_([qk])\.", r".context_block.attn.ln_\1."),
    (r"\.(attn2?)\.norm_([qk])\.", r".x_block.\1.ln_\2."),
    (r"\.attn\.to_add_out\.", ".context_block.attn.proj."),
    (r"\.(attn2?)\.to_out\.0\.", r".x_block.\1.proj."),
)

FLUX: Rules = (
    (r"^time_text_embed\.timestep_embedder\.", "time_in."),
    (r"^time_text_embed\.guidance_embedder\.", "guidance_in."),
    (r"^time_text_embed\.text_embedder\.", "vector_in."),
    (r"_in\.linear_1\.", "_in.in_layer."),
    (r"_in\.linear_2\.", "_in.out_layer."),
    (r"^context_embedder\.", "txt_in."),
    (r"^x_embedder\.", "img_in."),
    (r"^proj_out\.", "final_layer.linear."),
    (r"^norm_out\.linear\.", "final_layer.adaLN_modulation.1."),
    (r"^(single_transformer_blocks\.\d)\.attn\.norm_q\.weight", r"\1.norm.query_norm.scale"),
    (r"^(single_transformer_blocks\.\d)\.attn\.norm_k\.weight", r"\1.norm.key_norm.scale"),
    (r"^single_transformer_blocks\.(\d)\.norm\.linear\.", r"single_blocks.\1.modulation.lin."),
    (r"^single_transformer_blocks\.(\d)\.proj_out\.", r"single_blocks.\1.linear2."),
    (r"^single_transformer_blocks\.", "single_blocks."),
    (r"^transformer_blocks\.", "double_blocks."),
    (r"\.norm1\.linear\.", ".img_mod.lin."),
    (r"\.norm1_context\.linear\.", ".txt_mod.lin."),
    (r"\.attn\.norm_q\.weight", ".img_attn.norm.query_norm.scale"),
    (r"\.attn\.norm_k\.weight", ".img_attn.norm.key_norm.scale"),
    (r"\.attn\.norm_added_q\.weight", ".txt_attn.norm.query_norm.scale"),
    (r"\.attn\.norm_added_k\.weight", ".txt_attn.norm.key_norm.scale"),
    (r"\.attn\.to_out\.0\.", ".img_attn.proj."),
    (r"\.attn\.to_add_out\.", ".txt_attn.proj."),
    (r"\.ff\.net\.0\.proj\.", ".img_mlp.0."),
    (r"\.ff\.net\.2\.", ".img_mlp.2."),
    (r"\.ff_context\.net\.0\.proj\.", ".txt_mlp.0."),
    (r"\.ff_context\.net\.2\.", ".txt_mlp.2."),
)

Z_IMAGE: Rules = (
    (r"^all_x_embedder\.2-1\.", "x_embedder."),
    (r"^all_final_layer\.2-1\.", "final_layer."),
    (r"\.attention\.to_out\.0\.", ".attention.out."),
    (r"\.attention\.norm_([qk])\.", r".attention.\1_norm."),
)

WAN: Rules = (
    (r"^condition_embedder\.(time|text)_embedder\.linear_1\.", r"\1_embedding.0."),
    (r"^condition_embedder\.(time|text)_embedder\.linear_2\.", r"\1_embedding.2."),
    (r"^condition_embedder\.time_proj\.", "time_projection.1."),
    (r"^condition_embedder\.image_embedder\.norm1\.", "img_emb.proj.0."),
    (r"^condition_embedder\.image_embedder\.ff\.net\.0\.proj\.", "img_emb.proj.1."),
    (r"^condition_embedder\.image_embedder\.ff\.net\.2\.", "img_emb.proj.3."),
    (r"^condition_embedder\.image_embedder\.norm2\.", "img_emb.proj.4."),
    (r"^condition_embedder\.image_embedder\.pos_embed", "img_emb.emb_pos"),
    (r"^proj_out\.", "head.head."),
    (r"^scale_shift_table", "head.modulation"),
    (r"\.scale_shift_table", ".modulation"),
    (r"\.norm2\.", ".norm3."),
    (r"\.attn1\.", ".self_attn."),
    (r"\.attn2\.", ".cross_attn."),
    (r"\.to_out\.0\.", ".o."),
    (r"\.to_([qkv])\.", r".\1."),
    (r"\.add_([kv])_proj\.", r".\1_img."),
    (r"\.norm_added_k\.", ".norm_k_img."),
    (r"\.ffn\.net\.0\.proj\.", ".ffn.0."),
    (r"\.ffn\.net\.2\.", ".ffn.2."),
)

Joined = tuple[tuple[str, tuple[str, ...], str], ...]

OWN, ADDED = ("to_q", "to_k", "to_v"), ("add_q_proj", "add_k_proj", "add_v_proj")

SD3_JOINED: Joined = (
    (r"^transformer_blocks\.(\d)\.(attn2?)\.to_q\.", OWN, r"joint_blocks.\1.x_block.\2.qkv."),
    (r"^transformer_blocks\.(\d)\.(attn)\.add_q_proj\.", ADDED, r"joint_blocks.\1.context_block.attn.qkv."),
)

FLUX_JOINED: Joined = (
    (r"^transformer_blocks\.(\d)\.attn\.to_q\.", OWN, r"double_blocks.\1.img_attn.qkv."),
    (r"^transformer_blocks\.(\d)\.attn\.add_q_proj\.", ADDED, r"double_blocks.\1.txt_attn.qkv."),
    (r"^single_transformer_blocks\.(\d)\.attn\.to_q\.", (*OWN, "../proj_mlp"), r"single_blocks.\1.linear1."),
)

LUMINA2: Rules = (
    (r"^time_caption_embed\.timestep_embedder\.linear_1\.", "t_embedder.mlp.0."),
    (r"^time_caption_embed\.timestep_embedder\.linear_2\.", "t_embedder.mlp.2."),
    (r"^time_caption_embed\.caption_embedder\.", "cap_embedder."),
    (r"^norm_out\.linear_1\.", "final_layer.adaLN_modulation.1."),
    (r"^norm_out\.linear_2\.", "final_layer.linear."),
    (r"\.attn\.to_out\.0\.", ".attention.out."),
    (r"\.attn\.norm_([qk])\.", r".attention.\1_norm."),
    (r"\.feed_forward\.linear_([123])\.", r".feed_forward.w\1."),
    (r"^(context_refiner\.\d+)\.norm([12])\.", r"\1.attention_norm\2."),
    (r"\.norm1\.norm\.", ".attention_norm1."),
    (r"\.norm1\.linear\.", ".adaLN_modulation.1."),
    (r"(layers|refiner)\.(\d+)\.norm2\.", r"\1.\2.attention_norm2."),
)
LUMINA2_JOINED: Joined = ((r"^(.+)\.attn\.to_q\.", ("to_q", "to_k", "to_v"), r"\1.attention.qkv."),)

CHROMA: Rules = (
    (r"^(distilled_guidance_layer\.layers\.\d+)\.linear_1\.", r"\1.in_layer."),
    (r"^(distilled_guidance_layer\.layers\.\d+)\.linear_2\.", r"\1.out_layer."),
    (r"^(distilled_guidance_layer\.norms\.\d+)\.weight", r"\1.scale"),
    *FLUX,
)

FLUX2: Rules = (
    (r"^time_guidance_embed\.(timestep|guidance)_embedder\.", r"\1_in."),
    (r"^timestep_in\.", "time_in."),
    (r"^single_transformer_blocks\.(\d)\.attn\.to_qkv_mlp_proj\.", r"single_blocks.\1.linear1."),
    (r"^single_transformer_blocks\.(\d)\.attn\.to_out\.", r"single_blocks.\1.linear2."),
    (r"_modulation(_img|_txt)?\.linear\.", r"_modulation\1.lin."),
    (r"\.ff\.linear_in\.", ".img_mlp.0."),
    (r"\.ff\.linear_out\.", ".img_mlp.2."),
    (r"\.ff_context\.linear_in\.", ".txt_mlp.0."),
    (r"\.ff_context\.linear_out\.", ".txt_mlp.2."),
    *FLUX,
)

Z_IMAGE_JOINED: Joined = ((r"^(.+)\.attention\.to_q\.", OWN, r"\1.attention.qkv."),)
"""What is several tensors in diffusers and one in the original layout: the first of them, all of them, the one."""


def transformer(folder: Path, rules: Rules, joined: Joined, swapped: tuple[str, ...]) -> Tensors:
    """A transformer's weights under the names of its original layout; halves of some are the other way round."""
    found = in_one(weights(folder, "transformer"), joined)
    for name in [name for name in found if any(re.match(pattern, name) for pattern in swapped)]:
        found[name] = torch.cat([*reversed(found[name].chunk(2))])
    return renamed(found, rules, "model.diffusion_model.")


def in_one(tensors: Tensors, joined: Joined) -> Tensors:
    """Weights of which several are one in the original layout."""
    found = dict(tensors)
    whole = {}
    for pattern, parts, replacement in joined:
        for name in [name for name in found if re.match(pattern, name)]:
            names = [name.replace(f".{parts[0]}.", f".{part}.").replace("attn.../", "") for part in parts]
            whole[re.sub(pattern, replacement, name)] = torch.cat([found.pop(one) for one in names])
    return {**found, **whole}


XLABS: Rules = (
    (r"^input_hint_block\.conv_in\.", "input_hint_block.0."),
    *((rf"^input_hint_block\.blocks\.{i}\.", f"input_hint_block.{2 * i + 2}.") for i in range(6)),
    (r"^input_hint_block\.conv_out\.", "input_hint_block.14."),
    (r"^controlnet_x_embedder\.", "pos_embed_input."),
    *FLUX,
)


def xlabs(tensors: Tensors) -> Tensors:
    """A ControlNet for FLUX.1 as XLabs' files have it."""
    return renamed(in_one(tensors, FLUX_JOINED), XLABS, "")


def tencent(tensors: Tensors) -> Tensors:
    """A T2I-Adapter as TencentARC's files have it: two blocks a level, numbered through, or a list in each level."""
    own = {name.removeprefix("adapter."): tensor for name, tensor in tensors.items()}
    if any(".out_conv." in name for name in own):
        return {name.replace(".resnets.", ".body."): tensor for name, tensor in own.items()}
    named = {}
    for name, tensor in own.items():
        match = re.fullmatch(r"body\.(\d)\.(?:resnets\.(\d)\.)?(.+)", name)
        number = 2 * int(match[1]) + int(match[2] or 0) if match else 0
        named[f"body.{number}.{match[3]}" if match else name] = tensor
    return named


STABILITY: Rules = (
    (r"\.attn\.to_out\.0\.", ".attn.proj."),
    (r"\.ff\.net\.0\.proj\.", ".mlp.fc1."),
    (r"\.ff\.net\.2\.", ".mlp.fc2."),
    (r"\.norm1\.linear\.", ".adaLN_modulation.1."),
)
STABILITY_JOINED: Joined = ((r"^transformer_blocks\.(\d)\.attn\.to_q\.", OWN, r"transformer_blocks.\1.attn.qkv."),)


def stability(tensors: Tensors) -> Tensors:
    """A ControlNet for SD 3.5 as Stability AI's files have it, with the number of its kind."""
    named = renamed(in_one(tensors, STABILITY_JOINED), STABILITY, "")
    return {**named, "control_type": torch.tensor([1.0])}


def z_image(folder: Path, prefix: str = "") -> Tensors:
    """Z-Image's transformer as its file has it, with a norm that nothing reads."""
    named = transformer(folder, Z_IMAGE, Z_IMAGE_JOINED, ())
    own = {name.removeprefix("model.diffusion_model."): tensor for name, tensor in named.items()}
    return under({**own, "norm_final.weight": torch.ones(64)}, prefix)


def under(found: Tensors, prefix: str) -> Tensors:
    """Tensors with names that begin with `prefix`."""
    return {prefix + name: tensor for name, tensor in found.items()}


RESNET_PARTS = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}


def original_unet(found: Mapping[str, Any]) -> dict[str, Any]:
    """The weights of a UNet or a ControlNet of any depth under the names of the original layout."""
    places = {
        "conv_in": "input_blocks.0.0",
        "time_embedding.linear_1": "time_embed.0",
        "time_embedding.linear_2": "time_embed.2",
        "add_embedding.linear_1": "label_emb.0.0",
        "add_embedding.linear_2": "label_emb.0.2",
        "class_embedding.linear_1": "label_emb.0.0",
        "class_embedding.linear_2": "label_emb.0.2",
        "conv_norm_out": "out.0",
        "conv_out": "out.2",
        "controlnet_cond_embedding.conv_in": "input_hint_block.0",
        "controlnet_cond_embedding.conv_out": "input_hint_block.14",
        "controlnet_mid_block": "middle_block_out.0",
        **{f"controlnet_cond_embedding.blocks.{number}": f"input_hint_block.{2 * number + 2}" for number in range(6)},
        **{f"controlnet_down_blocks.{number}": f"zero_convs.{number}.0" for number in range(20)},
    }
    modules = {name.rpartition(".")[0] for name in found}
    number = 0
    for level in range(_length(modules, "down_blocks.{}.")):
        for layer in range(_length(modules, f"down_blocks.{level}.resnets.{{}}.")):
            number += 1
            places[f"down_blocks.{level}.resnets.{layer}"] = f"input_blocks.{number}.0"
            places[f"down_blocks.{level}.attentions.{layer}"] = f"input_blocks.{number}.1"
        if f"down_blocks.{level}.downsamplers.0.conv" in modules:
            number += 1
            places[f"down_blocks.{level}.downsamplers.0.conv"] = f"input_blocks.{number}.0.op"
    attention = _length(modules, "mid_block.attentions.{}.")
    places |= {"mid_block.resnets.0": "middle_block.0", "mid_block.attentions.0": "middle_block.1"}
    places["mid_block.resnets.1"] = f"middle_block.{1 + attention}"
    number = -1
    for level in range(_length(modules, "up_blocks.{}.")):
        for layer in range(_length(modules, f"up_blocks.{level}.resnets.{{}}.")):
            number += 1
            places[f"up_blocks.{level}.resnets.{layer}"] = f"output_blocks.{number}.0"
            places[f"up_blocks.{level}.attentions.{layer}"] = f"output_blocks.{number}.1"
        attended = _length(modules, f"up_blocks.{level}.attentions.{{}}.") > 0
        places[f"up_blocks.{level}.upsamplers.0.conv"] = f"output_blocks.{number}.{1 + attended}.conv"
    return {_placed(name, places): tensor for name, tensor in found.items()}


def _length(modules: Collection[str], pattern: str) -> int:
    """How many modules of a pattern there are, with 0, 1, 2, ... filled in."""
    return next(number for number in range(100) if not any(one.startswith(pattern.format(number)) for one in modules))


def _placed(name: str, places: Mapping[str, str]) -> str:
    module = next(one for one in sorted(places, key=len, reverse=True) if name.startswith(f"{one}."))
    inner = name.removeprefix(f"{module}.")
    part = inner.rpartition(".")[0]
    if ".resnets." in module:
        inner = inner.replace(part, RESNET_PARTS[part])
    return f"{places[module]}.{inner}"
