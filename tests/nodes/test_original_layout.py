"""A single file in the original layout is the same model as the diffusers folder that it was made from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from safetensors.torch import load_file, save_file

from weft.engine import Engine
from weft.nodes.headers import read_shapes
from weft.nodes.original_layout import below, control_config, text_config, unet_config, vae_config

Rules = tuple[tuple[str, str], ...]

RESNET: Rules = (
    (r"(?<!transformer_blocks\.0)\.norm1\.", ".in_layers.0."),
    (r"\.conv1\.", ".in_layers.2."),
    (r"(?<!transformer_blocks\.0)\.norm2\.", ".out_layers.0."),
    (r"\.conv2\.", ".out_layers.3."),
    (r"\.time_emb_proj\.", ".emb_layers.1."),
    (r"\.conv_shortcut\.", ".skip_connection."),
)

UNET: Rules = (
    (r"^time_embedding\.linear_1\.", "time_embed.0."),
    (r"^time_embedding\.linear_2\.", "time_embed.2."),
    (r"^conv_in\.", "input_blocks.0.0."),
    (r"^conv_norm_out\.", "out.0."),
    (r"^conv_out\.", "out.2."),
    (r"^down_blocks\.0\.resnets\.0\.", "input_blocks.1.0."),
    (r"^down_blocks\.0\.attentions\.0\.", "input_blocks.1.1."),
    (r"^down_blocks\.0\.downsamplers\.0\.conv\.", "input_blocks.2.0.op."),
    (r"^down_blocks\.1\.resnets\.0\.", "input_blocks.3.0."),
    (r"^mid_block\.resnets\.0\.", "middle_block.0."),
    (r"^mid_block\.attentions\.0\.", "middle_block.1."),
    (r"^mid_block\.resnets\.1\.", "middle_block.2."),
    (r"^up_blocks\.0\.resnets\.([01])\.", r"output_blocks.\1.0."),
    (r"^up_blocks\.0\.upsamplers\.0\.conv\.", "output_blocks.1.1.conv."),
    (r"^up_blocks\.1\.resnets\.0\.", "output_blocks.2.0."),
    (r"^up_blocks\.1\.attentions\.0\.", "output_blocks.2.1."),
    (r"^up_blocks\.1\.resnets\.1\.", "output_blocks.3.0."),
    (r"^up_blocks\.1\.attentions\.1\.", "output_blocks.3.1."),
    *RESNET,
)

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


def renamed(weights: Mapping[str, Any], rules: Rules, prefix: str) -> dict[str, Any]:
    """Weights of a diffusers module under the names of the original layout."""
    named = {}
    for name, tensor in weights.items():
        for pattern, replacement in rules:
            name = re.sub(pattern, replacement, name)
        convolved = ".attn_1." in name and tensor.ndim == 2
        named[prefix + name] = (tensor[:, :, None, None] if convolved else tensor).contiguous()
    return named


def original(folder: Path) -> dict[str, Any]:
    """The tensors of a diffusers folder as one file of the original layout has them."""
    text = load_file(folder / "text_encoder" / "model.safetensors")
    plain = {name.removeprefix("text_model."): tensor for name, tensor in text.items()}
    return {
        **renamed(load_file(folder / "unet" / "diffusion_pytorch_model.safetensors"), UNET, "model.diffusion_model."),
        **renamed(load_file(folder / "vae" / "diffusion_pytorch_model.safetensors"), VAE, "first_stage_model."),
        **renamed(plain, (), "cond_stage_model.transformer.text_model."),
        "cond_stage_model.transformer.text_model.embeddings.position_ids": torch.arange(77)[None],
    }


@pytest.fixture(scope="session")
def single_files(models: Path) -> Path:
    """`single.safetensors` beside the folder `clip` that it was made from, and the ControlNet `edges.safetensors`."""
    save_file(original(models / "clip"), models / "single.safetensors")
    edges = load_file(models / "edges" / "diffusion_pytorch_model.safetensors")
    save_file(renamed(edges, CONTROL, "control_model."), models / "edges.safetensors")
    return models


def test_a_single_file_paints_what_its_folder_paints(weft_paints: Any, single_files: Path) -> None:
    """With the family's own sampler, since a single file has no scheduler of its own."""
    one, other = weft_paints("single.safetensors", sampler="pndm"), weft_paints("clip", sampler="pndm")
    assert numpy.array_equal(one, other)


def test_a_single_control_net_steers_as_its_folder_does(weft_paints: Any, single_files: Path) -> None:
    one = weft_paints(controls=[{"net": "edges.safetensors", "image": "stripes.png"}])
    other = weft_paints(controls=[{"net": "edges", "image": "stripes.png"}])
    assert numpy.array_equal(one, other)


def test_configurations_are_read_from_shapes(single_files: Path) -> None:
    shapes = read_shapes(single_files / "single.safetensors")
    unet = unet_config(below("model.diffusion_model.", shapes))
    vae = vae_config(below("first_stage_model.", shapes))
    text = text_config(below("cond_stage_model.transformer.text_model.", shapes))
    assert (unet["block_out_channels"], unet["layers_per_block"]) == ([32, 64], 1)
    assert unet["down_block_types"] == ["CrossAttnDownBlock2D", "DownBlock2D"]
    assert (vae["block_out_channels"], vae["latent_channels"]) == ([32, 32, 32, 32], 4)
    assert (text["hidden_size"], text["num_hidden_layers"], text["vocab_size"]) == (64, 2, 49408)


def test_a_control_net_is_read_from_shapes(single_files: Path) -> None:
    config = control_config(below("control_model.", read_shapes(single_files / "edges.safetensors")))
    assert config["conditioning_embedding_out_channels"] == [16, 32, 96, 256]
    assert config["cross_attention_dim"] == 64


def test_sd_15_is_read_from_its_shapes() -> None:
    """The shapes that decide, as SD 1.5 has them."""
    widths = (320, 320, 320, 640, 640, 640, 1280, 1280, 1280, 1280, 1280)
    resnets = {f"input_blocks.{i + 1}.0.out_layers.3.weight": (width, width, 3, 3) for i, width in enumerate(widths)}
    down = {f"input_blocks.{i}.0.op.weight": (320, 320, 3, 3) for i in (3, 6, 9)}
    attention = {f"input_blocks.{i}.1.transformer_blocks.0.attn2.to_k.weight": (320, 768) for i in (1, 2, 4, 5, 7, 8)}
    ends = {"input_blocks.0.0.weight": (320, 4, 3, 3), "out.2.weight": (4, 320, 3, 3)}
    kept = {name: shape for name, shape in resnets.items() if name.split(".")[1] not in ("3", "6", "9")}
    config = unet_config({**kept, **down, **attention, **ends})
    assert (config["block_out_channels"], config["layers_per_block"]) == ([320, 640, 1280, 1280], 2)
    assert config["down_block_types"] == ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"]
    assert config["cross_attention_dim"] == 768


def test_a_file_that_lacks_weights_is_refused(engine: Engine, single_files: Path, weft_paints: Any) -> None:
    tensors = load_file(single_files / "single.safetensors")
    del tensors["model.diffusion_model.middle_block.1.norm.weight"]
    save_file(tensors, single_files / "lacking.safetensors")
    with pytest.raises(Exception, match="`UNet2DConditionModel` are missing: mid_block"):
        weft_paints("lacking.safetensors")
