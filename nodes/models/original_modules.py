"""What modules of networks are called by the authors of a model, where diffusers has other names or other modules.

One module of the authors' may be several of diffusers' (a joined projection of query, key and value), whose rows follow
each other in it. The tables serve single files, whose shapes are checked, and LoRAs, which name modules. Imports no
torch.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import count

from weft.nodes.models.safetensors_header import Shapes
from weft.nodes.models.single_file_unets import ENDS, RESNET


@dataclass(frozen=True)
class Joined:
    """The modules of diffusers' that one module of the authors' is, in the order of its rows.

    Args:
        swapped: whether a shift and a scale come in the other order: the halves of its rows, where it has two rows for
            each column.
    """

    modules: tuple[str, ...]
    swapped: bool = False


OriginalModules = Mapping[str, Joined]
"""By the authors' names. In tables `{}` stands for the number of a block."""


def _one(names: Mapping[str, str], prefix: str = "", there: str = "") -> dict[str, Joined]:
    return {prefix + name: Joined((there + one,)) for name, one in names.items()}


_FLUX, _FLUX_SINGLE = "transformer_blocks.{}", "single_transformer_blocks.{}"

FLUX_MODULES: OriginalModules = {
    "double_blocks.{}.img_attn.qkv": Joined(tuple(f"{_FLUX}.attn.to_{one}" for one in "qkv")),
    "double_blocks.{}.txt_attn.qkv": Joined(tuple(f"{_FLUX}.attn.add_{one}_proj" for one in "qkv")),
    **_one(
        {
            "img_attn.proj": "attn.to_out.0",
            "txt_attn.proj": "attn.to_add_out",
            "img_mlp.0": "ff.net.0.proj",
            "img_mlp.2": "ff.net.2",
            "txt_mlp.0": "ff_context.net.0.proj",
            "txt_mlp.2": "ff_context.net.2",
            "img_mod.lin": "norm1.linear",
            "txt_mod.lin": "norm1_context.linear",
            "img_attn.norm.query_norm": "attn.norm_q",
            "img_attn.norm.key_norm": "attn.norm_k",
            "txt_attn.norm.query_norm": "attn.norm_added_q",
            "txt_attn.norm.key_norm": "attn.norm_added_k",
        },
        "double_blocks.{}.",
        f"{_FLUX}.",
    ),
    "single_blocks.{}.linear1": Joined(
        (*(f"{_FLUX_SINGLE}.attn.to_{one}" for one in "qkv"), f"{_FLUX_SINGLE}.proj_mlp")
    ),
    **_one({"linear2": "proj_out", "modulation.lin": "norm.linear"}, "single_blocks.{}.", f"{_FLUX_SINGLE}."),
    **_one({"query_norm": "norm_q", "key_norm": "norm_k"}, "single_blocks.{}.norm.", f"{_FLUX_SINGLE}.attn."),
    **_one(
        {
            "img_in": "x_embedder",
            "txt_in": "context_embedder",
            "time_in.in_layer": "time_text_embed.timestep_embedder.linear_1",
            "time_in.out_layer": "time_text_embed.timestep_embedder.linear_2",
            "guidance_in.in_layer": "time_text_embed.guidance_embedder.linear_1",
            "guidance_in.out_layer": "time_text_embed.guidance_embedder.linear_2",
            "vector_in.in_layer": "time_text_embed.text_embedder.linear_1",
            "vector_in.out_layer": "time_text_embed.text_embedder.linear_2",
            "final_layer.linear": "proj_out",
        }
    ),
    "final_layer.adaLN_modulation.1": Joined(("norm_out.linear",), swapped=True),
}
"""FLUX.1's modules by the names of Black Forest Labs."""

_SD3 = "transformer_blocks.{}"

SD3_MODULES: OriginalModules = {
    "joint_blocks.{}.x_block.attn.qkv": Joined(tuple(f"{_SD3}.attn.to_{one}" for one in "qkv")),
    "joint_blocks.{}.x_block.attn2.qkv": Joined(tuple(f"{_SD3}.attn2.to_{one}" for one in "qkv")),
    "joint_blocks.{}.context_block.attn.qkv": Joined(tuple(f"{_SD3}.attn.add_{one}_proj" for one in "qkv")),
    **_one(
        {
            "x_block.attn.proj": "attn.to_out.0",
            "x_block.attn2.proj": "attn2.to_out.0",
            "x_block.mlp.fc1": "ff.net.0.proj",
            "x_block.mlp.fc2": "ff.net.2",
            "x_block.adaLN_modulation.1": "norm1.linear",
            "context_block.attn.proj": "attn.to_add_out",
            "context_block.mlp.fc1": "ff_context.net.0.proj",
            "context_block.mlp.fc2": "ff_context.net.2",
        },
        "joint_blocks.{}.",
        f"{_SD3}.",
    ),
    # That of the last block makes a shift and a scale alone.
    "joint_blocks.{}.context_block.adaLN_modulation.1": Joined((f"{_SD3}.norm1_context.linear",), swapped=True),
    **_one(
        {
            "x_embedder.proj": "pos_embed.proj",
            "t_embedder.mlp.0": "time_text_embed.timestep_embedder.linear_1",
            "t_embedder.mlp.2": "time_text_embed.timestep_embedder.linear_2",
            "y_embedder.mlp.0": "time_text_embed.text_embedder.linear_1",
            "y_embedder.mlp.2": "time_text_embed.text_embedder.linear_2",
            "final_layer.linear": "proj_out",
        }
    ),
    "final_layer.adaLN_modulation.1": Joined(("norm_out.linear",), swapped=True),
}
"""SD 3's modules by the names of Stability AI."""


def _z_image(block: str) -> OriginalModules:
    return {
        f"{block}.attention.qkv": Joined(tuple(f"{block}.attention.to_{one}" for one in "qkv")),
        f"{block}.attention.out": Joined((f"{block}.attention.to_out.0",)),
    }


Z_IMAGE_MODULES: OriginalModules = {
    **_z_image("layers.{}"),
    **_z_image("noise_refiner.{}"),
    **_z_image("context_refiner.{}"),
    **_one({"x_embedder": "all_x_embedder.2-1", "final_layer.linear": "all_final_layer.2-1.linear"}),
    "final_layer.adaLN_modulation.1": Joined(("all_final_layer.2-1.adaLN_modulation.1",)),
}
"""Z-Image's modules by the names of its authors."""


WAN_MODULES: OriginalModules = {
    **_one(
        {
            **{
                f"{own}.{part}": f"{there}.{name}"
                for own, there in (("self_attn", "attn1"), ("cross_attn", "attn2"))
                for part, name in (("q", "to_q"), ("k", "to_k"), ("v", "to_v"), ("o", "to_out.0"))
            },
            **{f"self_attn.norm_{one}": f"attn1.norm_{one}" for one in "qk"},
            **{f"cross_attn.norm_{one}": f"attn2.norm_{one}" for one in "qk"},
            "cross_attn.k_img": "attn2.add_k_proj",
            "cross_attn.v_img": "attn2.add_v_proj",
            "cross_attn.norm_k_img": "attn2.norm_added_k",
            "norm3": "norm2",
            "ffn.0": "ffn.net.0.proj",
            "ffn.2": "ffn.net.2",
        },
        "blocks.{}.",
        "blocks.{}.",
    ),
    **_one(
        {
            "time_embedding.0": "condition_embedder.time_embedder.linear_1",
            "time_embedding.2": "condition_embedder.time_embedder.linear_2",
            "text_embedding.0": "condition_embedder.text_embedder.linear_1",
            "text_embedding.2": "condition_embedder.text_embedder.linear_2",
            "time_projection.1": "condition_embedder.time_proj",
            "img_emb.proj.0": "condition_embedder.image_embedder.norm1",
            "img_emb.proj.1": "condition_embedder.image_embedder.ff.net.0.proj",
            "img_emb.proj.3": "condition_embedder.image_embedder.ff.net.2",
            "img_emb.proj.4": "condition_embedder.image_embedder.norm2",
            "head.head": "proj_out",
        }
    ),
}
"""Wan's modules by the names of its authors."""


def numbered(table: OriginalModules, modules: Collection[str]) -> dict[str, Joined]:
    """A table with the numbers of the blocks that a network has, by either kind of names.

    Args:
        modules: the names of its modules.
    """
    found: dict[str, Joined] = {}
    for name, joined in table.items():
        for number in count() if "{}" in name else (0,):
            own, there = name.format(number), tuple(one.format(number) for one in joined.modules)
            if own not in modules and there[0] not in modules:
                break
            found[own] = Joined(there, joined.swapped)
    return found


def parted_shapes(table: OriginalModules, shapes: Shapes) -> Shapes:
    """The shapes of the weights and biases of diffusers' modules, from those of a file with the authors' names.

    All parts of a joined projection have as many rows as it has columns, but for the last, which has the rest.
    """
    weights = {name.removesuffix(".weight"): shape for name, shape in shapes.items() if name.endswith(".weight")}
    norms = {name.removesuffix(".scale"): shape for name, shape in shapes.items() if name.endswith("_norm.scale")}
    own = numbered(table, norms)
    weights |= {name: shape for name, shape in norms.items() if name in own}
    known = numbered(table, weights)
    found: dict[str, tuple[int, ...]] = {}
    for name, shape in weights.items():
        parts = known[name].modules if name in known else (name,)
        rows = [shape[-1]] * (len(parts) - 1)
        sizes = dict(zip(parts, (*rows, shape[0] - sum(rows)), strict=True))
        found |= {f"{part}.weight": (size, *shape[1:]) for part, size in sizes.items()}
        if f"{name}.bias" in shapes:
            found |= {f"{part}.bias": (size,) for part, size in sizes.items()}
    return found


def unet_modules(modules: Collection[str]) -> dict[str, Joined]:
    """The modules of a UNet by the names of latent diffusion, which numbers blocks where diffusers has levels."""
    present = {name: Joined((module,)) for name, module in ENDS.items() if module in modules}
    embedding = "class_embedding" if "class_embedding.linear_1" in modules else "add_embedding"
    names = {"label_emb.0.0": f"{embedding}.linear_1", "label_emb.0.2": f"{embedding}.linear_2"}
    names |= dict(_side("input_blocks", "down_blocks", modules))
    names |= dict(_side("output_blocks", "up_blocks", modules))
    names |= dict(_block("middle_block.0", "mid_block.resnets.0"))
    names |= dict(_below("middle_block.1", "mid_block.attentions.0", modules))
    names |= dict(_block("middle_block.2", "mid_block.resnets.1"))
    names |= dict(_numbered_attentions(modules))
    return {**present, **{name: Joined((module,)) for name, module in names.items() if module in modules}}


ATTENTION = re.compile(r"((?:down|up|mid)_block.*\.transformer_blocks\.\d+\.attn[12])\.to_q$")


def _numbered_attentions(modules: Collection[str]) -> Iterator[tuple[str, str]]:
    """The projections of attention layers by their number, as files of FaceID have them: down, up, middle."""

    def place(name: str) -> tuple[int, list[int]]:
        return ("down", "up_b", "mid_").index(name[:4]), [int(one) for one in re.findall(r"\d+", name)]

    layers = sorted((match[1] for name in modules if (match := ATTENTION.match(name))), key=place)
    for number, layer in enumerate(layers):
        for side in ("to_q", "to_k", "to_v"):
            yield f"ip_adapter.{number}.{side}", f"{layer}.{side}"
        yield f"ip_adapter.{number}.to_out", f"{layer}.to_out.0"


def _side(own: str, there: str, modules: Collection[str]) -> Iterator[tuple[str, str]]:
    """One side of a UNet; the first of the input blocks is the convolution that latents go through."""
    number = 1 if own == "input_blocks" else 0
    for level in count():
        resnets = next(
            layer for layer in count() if f"{there}.{level}.resnets.{layer}.conv1" not in modules
        )  # as many as the level has
        if not resnets:
            return
        for layer in range(resnets):
            block, index = f"{own}.{number}", 1
            yield from _block(f"{block}.0", f"{there}.{level}.resnets.{layer}")
            attention = [*_below(f"{block}.1", f"{there}.{level}.attentions.{layer}", modules)]
            yield from attention
            if own == "output_blocks" and layer == resnets - 1:
                index += bool(attention)
                yield f"{block}.{index}.conv", f"{there}.{level}.upsamplers.0.conv"
            number += 1
        if own == "input_blocks" and f"{there}.{level}.downsamplers.0.conv" in modules:
            yield f"{own}.{number}.0.op", f"{there}.{level}.downsamplers.0.conv"
            number += 1


def _block(own: str, there: str) -> Iterator[tuple[str, str]]:
    """A residual block."""
    for name, module in RESNET.items():
        yield f"{own}.{name}", f"{there}.{module}"


def _below(own: str, there: str, modules: Collection[str]) -> Iterator[tuple[str, str]]:
    """The modules of an attention, whose inner names are the same."""
    for module in modules:
        if module.startswith(f"{there}."):
            yield own + module.removeprefix(there), module
