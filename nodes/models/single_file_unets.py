"""UNets and ControlNets in single files: the original layout of latent diffusion under diffusers' names, and the
configuration that shapes give.

The original layout numbers blocks where diffusers names levels; nothing else differs. Which level a block belongs to
follows from the downsamplers and upsamplers between them, so that any depths are read. Imports no torch.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from weft.nodes.models.safetensors_header import Shapes
from weft.nodes.models.single_file import below, count
from weft.nodes.models.tensor_layouts import Config, TensorLayout

T = TypeVar("T")

RESNET = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
}
"""The parts of a residual block: original names and diffusers'."""

ENDS = {
    "time_embed.0": "time_embedding.linear_1",
    "time_embed.2": "time_embedding.linear_2",
    "time_embed.cond_proj": "time_embedding.cond_proj",
    "input_blocks.0.0": "conv_in",
    "out.0": "conv_norm_out",
    "out.2": "conv_out",
    "input_hint_block.0": "controlnet_cond_embedding.conv_in",
    **{f"input_hint_block.{2 * index + 2}": f"controlnet_cond_embedding.blocks.{index}" for index in range(6)},
    "input_hint_block.14": "controlnet_cond_embedding.conv_out",
    "middle_block_out.0": "controlnet_mid_block",
}
"""Modules outside of the numbered blocks: original names and diffusers'."""

BLOCK = re.compile(r"(?P<side>input_blocks|output_blocks|middle_block)\.(?P<number>\d+)\.(?P<rest>.+)")
ZERO_CONVOLUTION = re.compile(r"zero_convs\.(\d+)\.0\.")

UNCLIP_WIDTH = 1024
"""Channels of the prompts of SD 2.x: a UNet of theirs with a second embedding is unCLIP's, else it is SDXL's."""

SWITCH_NUMBERS = 4
"""Numbers that a second embedding reads which says what Lotus is to make: the sine and the cosine of two switches."""


def diffusers_names(found: Mapping[str, T]) -> dict[str, T]:
    """What is found under names of the original layout, by diffusers' names."""
    modules = {**ENDS, **_embedding(found), **_blocks(found)}
    return dict(_renamed(found, modules))


def _renamed(found: Mapping[str, T], modules: Mapping[str, str]) -> Iterator[tuple[str, T]]:
    for name, one in found.items():
        name = ZERO_CONVOLUTION.sub(r"controlnet_down_blocks.\1.", name)
        parts = name.split(".")
        own = (".".join(parts[:length]) for length in range(len(parts) - 1, 0, -1))
        module = next((module for module in own if module in modules), "")
        yield (modules[module] + name.removeprefix(module) if module else name), one


def _embedding(found: Mapping[str, T]) -> dict[str, str]:
    """Where the second embedding goes: into SDXL's of a pooled prompt and sizes, or unCLIP's of a picture."""
    width = next((_width(one) for name, one in found.items() if name.endswith("attn2.to_k.weight")), 0)
    numbers = next((_width(one) for name, one in found.items() if name.endswith("label_emb.0.0.weight")), 0)
    name = "class_embedding" if width == UNCLIP_WIDTH or numbers == SWITCH_NUMBERS else "add_embedding"
    return {"label_emb.0.0": f"{name}.linear_1", "label_emb.0.2": f"{name}.linear_2"}


def _width(one: Any) -> int:
    """Channels that a weight reads, of a tensor or of its shape."""
    return int(getattr(one, "shape", one)[1])


def _blocks(found: Mapping[str, T]) -> dict[str, str]:
    """diffusers' name of each module of the numbered blocks."""
    parts: dict[str, dict[int, dict[int, set[str]]]] = {"input_blocks": {}, "output_blocks": {}}
    middle: dict[int, set[str]] = {}
    for name in found:
        if not (match := BLOCK.fullmatch(name)):
            continue
        side, number, rest = match["side"], int(match["number"]), match["rest"]
        if side == "middle_block":
            middle.setdefault(number, set()).add(rest)
        else:
            index, _, inner = rest.partition(".")
            parts[side].setdefault(number, {}).setdefault(int(index), set()).add(inner)
    parts["input_blocks"].pop(0, None)
    return {
        **_levels("input_blocks", "down_blocks", parts["input_blocks"]),
        **_levels("output_blocks", "up_blocks", parts["output_blocks"]),
        **_modules("middle_block", "mid_block", [(number, middle[number]) for number in sorted(middle)]),
    }


def _levels(side: str, named: str, blocks: Mapping[int, Mapping[int, set[str]]]) -> dict[str, str]:
    """The modules of one side of the UNet; a downsampler or an upsampler ends a level."""
    modules: dict[str, str] = {}
    level = layer = 0
    for number in sorted(blocks):
        ended = False
        for index, names in sorted(blocks[number].items()):
            own, there = f"{side}.{number}.{index}", f"{named}.{level}"
            if "op.weight" in names:
                modules[f"{own}.op"], ended = f"{there}.downsamplers.0.conv", True
            elif "conv.weight" in names:
                modules[f"{own}.conv"], ended = f"{there}.upsamplers.0.conv", True
            elif index == 0:
                modules |= {f"{own}.{part}": f"{there}.resnets.{layer}.{name}" for part, name in RESNET.items()}
            else:
                modules[own] = f"{there}.attentions.{layer}"
        level, layer = (level + 1, 0) if ended else (level, layer + 1)
    return modules


def _modules(side: str, named: str, blocks: list[tuple[int, set[str]]]) -> dict[str, str]:
    """The modules of the middle block: residual blocks and attention in turn."""
    modules: dict[str, str] = {}
    resnets = attentions = 0
    for number, names in blocks:
        if any(name.startswith("in_layers.") for name in names):
            modules |= {f"{side}.{number}.{part}": f"{named}.resnets.{resnets}.{name}" for part, name in RESNET.items()}
            resnets += 1
        else:
            modules[f"{side}.{number}"] = f"{named}.attentions.{attentions}"
            attentions += 1
    return modules


def unet_config(shapes: Shapes) -> Config:
    """The configuration of a UNet2DConditionModel, from shapes under diffusers' names."""
    up = _depths(shapes, "up_blocks")
    config = _down_config(shapes)
    return {
        **config,
        **_reversed_depths(config, up),
        "up_block_types": ["CrossAttnUpBlock2D" if depths else "UpBlock2D" for depths in up],
        "out_channels": shapes["conv_out.weight"][0],
    }


def control_config(shapes: Shapes) -> Config:
    """The configuration of a ControlNetModel, from shapes under diffusers' names."""
    embedding = below("controlnet_cond_embedding.", shapes)
    halved = [embedding[f"blocks.{index}.weight"][0] for index in range(1, count(embedding, "blocks.{}.weight"), 2)]
    union = {"num_control_type": shapes["task_embedding"][0]} if "task_embedding" in shapes else {}
    return {
        **_down_config(shapes),
        **union,
        "conditioning_channels": embedding["conv_in.weight"][1],
        "conditioning_embedding_out_channels": [embedding["conv_in.weight"][0], *halved],
    }


def _down_config(shapes: Shapes) -> Config:
    """What a UNet and a ControlNet share: the levels down, the middle block and the embeddings."""
    down = _depths(shapes, "down_blocks")
    layers = [count(shapes, f"down_blocks.{level}.resnets.{{}}.conv1.weight") for level in range(len(down))]
    middle = count(shapes, "mid_block.attentions.0.transformer_blocks.{}.attn1.to_q.weight")
    if down[-1] and middle and {*down[-1]} != {middle}:
        raise ValueError("a middle block of another depth than the last level, which diffusers' class cannot have")
    projections = [shape for name, shape in shapes.items() if name.endswith(".proj_in.weight")]
    context = next((shape[1] for name, shape in shapes.items() if name.endswith("attn2.to_k.weight")), None)
    if projections and context is None:
        raise KeyError("attention that reads no prompt")
    depths = [_uniform(level) if level else 1 for level in down]
    return {
        "in_channels": shapes["conv_in.weight"][1],
        "block_out_channels": [shapes[f"down_blocks.{level}.resnets.0.conv1.weight"][0] for level in range(len(down))],
        "layers_per_block": _uniform(layers),
        "transformer_layers_per_block": [*depths[:-1], depths[-1] if down[-1] else middle or 1],
        "down_block_types": ["CrossAttnDownBlock2D" if depths else "DownBlock2D" for depths in down],
        "mid_block_type": _middle_type(shapes),
        "use_linear_projection": any(len(shape) == 2 for shape in projections),
        **({} if context is None else {"cross_attention_dim": context}),
        **_embeddings(shapes),
    }


def _depths(shapes: Shapes, side: str) -> list[list[int]]:
    """Transformer blocks of each attention on each level; none for a level without attention.

    Raises:
        KeyError: where the side has no level.
    """
    levels = count(shapes, f"{side}.{{}}.resnets.0.conv1.weight")
    if not levels:
        raise KeyError(side)
    return [
        [
            count(shapes, f"{side}.{level}.attentions.{index}.transformer_blocks.{{}}.attn1.to_q.weight")
            for index in range(count(shapes, f"{side}.{level}.attentions.{{}}.proj_in.weight"))
        ]
        for level in range(levels)
    ]


def _reversed_depths(config: Config, up: list[list[int]]) -> Config:
    """The depths of the levels up, where they are not those of the levels down in reverse."""
    down = [*reversed(config["transformer_layers_per_block"])]
    found = [_uniform(level) if level else expected for level, expected in zip(up, down, strict=True)]
    asymmetric = found != down or any(isinstance(level, list) for level in down)
    return {"reverse_transformer_layers_per_block": found} if asymmetric else {}


def _uniform(numbers: list[int]) -> int | list[int]:
    """One number where all are equal."""
    return numbers[0] if len({*numbers}) == 1 else numbers


def _middle_type(shapes: Shapes) -> str | None:
    if "mid_block.attentions.0.proj_in.weight" in shapes:
        return "UNetMidBlock2DCrossAttn"
    return "UNetMidBlock2D" if "mid_block.resnets.0.conv1.weight" in shapes else None


def _embeddings(shapes: Shapes) -> Config:
    """What is embedded besides the time: SDXL's pooled prompt and sizes (each in 256 channels), a scale, a picture."""
    config: Config = {}
    if (scale := shapes.get("time_embedding.cond_proj.weight")) is not None:
        config["time_cond_proj_dim"] = scale[1]
    if (added := shapes.get("add_embedding.linear_1.weight")) is not None:
        config["addition_embed_type"] = "text_time"
        config["addition_time_embed_dim"] = 256
        config["projection_class_embeddings_input_dim"] = added[1]
    if (picture := shapes.get("class_embedding.linear_1.weight")) is not None:
        config["class_embed_type"] = "projection"
        config["projection_class_embeddings_input_dim"] = picture[1]
    if (classes := shapes.get("class_embedding.weight")) is not None:
        config["num_class_embeds"] = classes[0]
    if (projected := shapes.get("encoder_hid_proj.weight")) is not None:
        config["encoder_hid_dim_type"] = "text_proj"
        config["encoder_hid_dim"] = projected[1]
    return config


UNET_LAYOUTS = (
    TensorLayout(
        "input_blocks.0.0.weight",
        lambda shapes: unet_config(diffusers_names(shapes)),
        lambda found, config: diffusers_names(found),
        diffusers_names,
    ),
    TensorLayout("up_blocks.0.resnets.0.conv1.weight", unet_config),
)
"""The original layout, and diffusers' own."""

CONTROL_LAYOUTS = (
    TensorLayout(
        "input_hint_block.0.weight",
        lambda shapes: control_config(diffusers_names(shapes)),
        lambda found, config: diffusers_names(found),
    ),
    TensorLayout("controlnet_cond_embedding.conv_in.weight", control_config),
)
