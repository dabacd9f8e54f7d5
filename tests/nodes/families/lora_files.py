"""Random LoRAs of the tests' checkpoints, as the files that trainers and libraries write of them.

Each is drawn once, by diffusers' names of modules, and written in any layout; joined projections share one matrix.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import reduce
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import save_file

from tests.nodes import layouts

Tensors = dict[str, Any]

RANK = 4


class LowRank(NamedTuple):
    """The change of one module: up @ down."""

    down: Any
    up: Any


Changes = dict[str, LowRank]
"""By the names of modules in a network."""

JOINED = re.compile(r"\.(to_q|to_k|to_v|add_q_proj|add_k_proj|add_v_proj|proj_mlp)$")


def low_rank(network: Any, seed: int, modules: str = "", rank: int = RANK) -> Changes:
    """A random change of every linear layer, and of convolutions where the pattern has them."""
    generator, shared = torch.Generator().manual_seed(seed), dict[Any, Any]()
    found: Changes = {}
    for name, module in network.named_modules():
        weight: Any = getattr(module, "weight", None)
        if not isinstance(module, torch.nn.Linear | torch.nn.Conv2d) or not re.search(modules, name):
            continue
        joint = JOINED.sub(lambda match: ".added" if "add" in match[1] else "", name.replace(".attn.", "."))
        down = torch.randn(rank, *weight.shape[1:], generator=generator) / weight[0].numel() ** 0.5
        down = shared.setdefault((joint, down.shape), down) if JOINED.search(name) else down
        kernel = (1,) * (weight.ndim - 2)
        found[name] = LowRank(down, torch.randn(len(weight), rank, *kernel, generator=generator) * STRENGTH)
    return found


STRENGTH = 0.1


def peft(changes: Changes, prefix: str) -> Tensors:
    """PEFT's names, as diffusers and ai-toolkit write them under the name of a component."""
    down = {f"{prefix}{name}.lora_A.weight": one.down for name, one in changes.items()}
    return down | {f"{prefix}{name}.lora_B.weight": one.up for name, one in changes.items()}


def named_adapter(changes: Changes, prefix: str) -> Tensors:
    """PEFT's names with that of an adapter, as its own state has them."""
    return {re.sub(r"(lora_[AB])\.", r"\1.default.", name): one for name, one in peft(changes, prefix).items()}


def kohya(changes: Changes, prefix: str) -> Tensors:
    """The names of kohya's scripts, with an alpha of half the rank."""
    found: Tensors = {}
    for name, one in changes.items():
        flat = prefix + name.replace(".", "_")
        found[f"{flat}.lora_down.weight"], found[f"{flat}.lora_up.weight"] = one.down, 2 * one.up
        found[f"{flat}.alpha"] = torch.tensor(len(one.down) / 2)
    return found


def dotted(changes: Changes, prefix: str) -> Tensors:
    """Names with dots and kohya's endings, as ComfyUI's and some trainers' files have them."""
    found: Tensors = {}
    for name, one in changes.items():
        found[f"{prefix}{name}.lora_down.weight"], found[f"{prefix}{name}.lora_up.weight"] = one.down, 2 * one.up
        found[f"{prefix}{name}.alpha"] = torch.tensor(len(one.down) / 2)
    return found


def processors(changes: Changes, prefix: str) -> Tensors:
    """diffusers' names of before 0.20: attention processors in UNets, and layers next to others."""
    found: Tensors = {}
    for name, one in changes.items():
        own = f"{prefix}{name}.lora."
        if match := re.fullmatch(r"(.*attn[12])\.(to_[qkv]|to_out)(\.0)?", name):
            own = f"{prefix}{match[1]}.processor.{match[2]}_lora."
        elif match := re.fullmatch(r"(.*self_attn)\.([qkv]|out)_proj", name):
            own = f"{prefix}{match[1]}.to_{match[2]}_lora."
        elif ".mlp." in name:
            own = f"{prefix}{name}.lora_linear_layer."
        found[f"{own}down.weight"], found[f"{own}up.weight"] = one.down, one.up
    return found


def xlabs(changes: Changes, prefix: str) -> Tensors:
    """XLabs' names of FLUX.1: processors of its blocks. Only attention is changed."""
    parts = {"img_attn.qkv": "qkv_lora1", "txt_attn.qkv": "qkv_lora2", "img_attn.proj": "proj_lora1"}
    parts |= {"txt_attn.proj": "proj_lora2", "linear1": "qkv_lora", "linear2": "proj_lora"}
    found: Tensors = {}
    for name, one in flux_names(changes).items():
        block, part = ".".join(name.split(".")[:2]), ".".join(name.split(".")[2:])
        own = f"{prefix}{block}.processor.{parts[part]}."
        found[f"{own}down.weight"], found[f"{own}up.weight"] = one.down, one.up
    return found


Write = Callable[[Changes, str], Tensors]


def joined_names(
    changes: Changes, rules: layouts.Rules, joined: layouts.Joined, swapped: tuple[str, ...] = ()
) -> Changes:
    """Changes of a transformer by its authors' names; those of one joined projection follow each other."""
    found = {f"{name}.": one for name, one in changes.items()}
    for pattern, parts, replacement in joined:
        for name in [name for name in found if re.match(pattern, name)]:
            names = [name.replace(f".{parts[0]}.", f".{part}.").replace("attn.../", "") for part in parts]
            own = [found.pop(one) for one in names if one in found]
            found[re.sub(pattern, replacement, name)] = LowRank(own[0].down, torch.cat([one.up for one in own]))
    for name in [name for name in found if any(re.match(pattern, name) for pattern in swapped)]:
        found[name] = LowRank(found[name].down, torch.cat([*reversed(found[name].up.chunk(2))]))
    return {
        reduce(lambda own, rule: re.sub(rule[0], rule[1], own), rules, name)[:-1]: one for name, one in found.items()
    }


def flux_names(changes: Changes) -> Changes:
    """By the names of Black Forest Labs."""
    return joined_names(changes, layouts.FLUX, layouts.FLUX_JOINED, (r"^norm_out\.",))


def sd3_names(changes: Changes) -> Changes:
    """By the names of Stability AI; the last block of the prompt makes a shift and a scale alone."""
    swapped = (r"^norm_out\.", r"^transformer_blocks\.1\.norm1_context\.")
    return joined_names(changes, layouts.SD3, layouts.SD3_JOINED, swapped)


def z_image_names(changes: Changes) -> Changes:
    """By the names of Z-Image's authors."""
    return joined_names(changes, layouts.Z_IMAGE, layouts.Z_IMAGE_JOINED)


def wan_names(changes: Changes) -> Changes:
    """By the names of Wan's authors."""
    return joined_names(changes, layouts.WAN, ())


def unet_names(network: Any) -> Callable[[Changes], Changes]:
    """By the names of latent diffusion."""
    original = layouts.original_unet({name: name for name, _ in network.named_parameters()})
    names = {own.removesuffix(".weight"): name.removesuffix(".weight") for name, own in original.items()}
    return lambda changes: {names[name]: one for name, one in changes.items()}


def text_name(module: str) -> str:
    """A module of CLIP's as files of LoRAs name it."""
    return module if module.startswith(("text_model.", "text_projection")) else f"text_model.{module}"


def save(tensors: Mapping[str, Any], path: Path, **metadata: str) -> str:
    """Write a file; matrices that are shared are written for each module. Its name."""
    path.parent.mkdir(exist_ok=True)
    save_file({name: one.contiguous().clone() for name, one in tensors.items()}, path, metadata or None)
    return path.name


def one(module: str, rows: int, columns: int) -> Changes:
    """The change of one module by ones."""
    return {module: LowRank(torch.ones(RANK, columns), torch.ones(rows, RANK))}
