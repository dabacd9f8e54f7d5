"""The file of a trained LoRA: PEFT's names as diffusers saves them, or those of kohya's scripts. Imports torch.

Both are read by diffusers and by `weft.nodes.models.lora_file`; kohya's also by what knows no other. Its names are
diffusers' for a UNet and the authors' for a transformer, whose modules may be several of diffusers' (`authors_layers`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

import torch
from diffusers.utils.state_dict_utils import convert_state_dict_to_kohya
from safetensors.torch import load, save
from torch import Tensor

from weft.engine import InputError
from weft.nodes.fine_tuning.authors_layers import OriginalNames, authors_layers
from weft.nodes.models.safetensors_header import header_in

Layout = Literal["diffusers", "kohya"]

NAMES: Mapping[str, tuple[str, str]] = {
    "SD1": ("stable-diffusion-v1", "sd_v1"),
    "SD2": ("stable-diffusion-v2-768-v", "sd_v2"),
    "SDXL": ("stable-diffusion-xl-v1-base", "sdxl_base_v1-0"),
    "SD3": ("stable-diffusion-3", "sd3"),
    "FLUX": ("flux-1-dev", "flux1"),
    "ZImage": ("z-image", "z_image"),
    "QwenImage": ("qwen-image", "qwen_image"),
}
"""What a family is called by the specification of model metadata, and by kohya's scripts."""

DENOISER = "transformer."
"""What names of a transformer's layers begin with in the layout of diffusers."""

UNETS = ("SD1", "SD2", "SDXL")
"""The families whose modules kohya's scripts call as diffusers does."""

AUTHORS = ("SD3", "FLUX")
"""The families whose modules kohya's scripts call as their authors do."""

UNTRAINED = "weft_untrained_rows"
"""The entry of the metadata with the rows of modules that authors join with trained ones, as JSON."""

TRAINING = "weft_training"
"""The entry of the metadata with what made the file, as JSON."""


def lora_file(
    tensors: Mapping[str, Tensor],
    family: str,
    rank: int,
    alpha: float,
    training: Mapping[str, Any],
    untrained: Mapping[str, int] | None = None,
) -> bytes:
    """The file of a LoRA in diffusers' layout, in float32.

    Args:
        tensors: by the name of their part and PEFT's name: `unet.down_blocks.0....lora_A.weight`.
        training: what made it: settings, digests of what it was made of, versions.
        untrained: the rows of modules of the denoiser that are not trained and that its authors join with trained ones.
    """
    parts: dict[str, set[str]] = {}
    for name in tensors:
        part, _, module = name.partition(".")
        changed = module.partition(".lora_")[0]
        # The names of modules of text models depend on the version of transformers; their ends do not.
        parts.setdefault(part, set()).add(changed.rpartition(".")[2] if part.startswith("text_encoder") else changed)
    adapter = {
        f"{part}.{option}": given
        for part, modules in parts.items()
        for option, given in {"r": rank, "lora_alpha": alpha, "target_modules": sorted(modules)}.items()
    }
    architecture, base = NAMES.get(family, (family.lower(), family.lower()))
    metadata = {
        "format": "pt",
        "lora_adapter_metadata": _json(adapter),
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": f"{architecture}/lora",
        "modelspec.implementation": "diffusers",
        "ss_base_model_version": base,
        "ss_network_module": "networks.lora",
        "ss_network_dim": str(rank),
        "ss_network_alpha": str(alpha),
        TRAINING: _json(training),
        **({UNTRAINED: _json(untrained)} if untrained else {}),
    }
    whole = {name: one.detach().float().cpu().contiguous() for name, one in sorted(tensors.items())}
    return _written(whole, metadata)


def in_layout(content: bytes, layout: Layout, family: str, originals: OriginalNames) -> bytes:
    """The file of a LoRA in diffusers' layout in another one.

    Args:
        originals: what the authors of its family call modules.

    Raises:
        InputError: where its family has no layout of kohya's.
    """
    if layout == "diffusers":
        return content
    if family not in (*UNETS, *AUTHORS):
        message = f"a LoRA of {family} has no layout of kohya's that others read"
        raise InputError(message, "save it in the layout `diffusers`, which ComfyUI reads too", "unsupported-by-model")
    metadata = dict(header_in(content, "a trained LoRA").metadata)
    rank, alpha = (float(metadata[f"ss_network_{name}"]) for name in ("dim", "alpha"))
    tensors = load(content)
    denoiser = {name: tensors.pop(name) for name in [*tensors] if family in AUTHORS and name.startswith(DENOISER)}
    convert: Any = convert_state_dict_to_kohya
    renamed: dict[str, Tensor] = convert(tensors) if tensors else {}
    renamed |= _by_authors(denoiser, json.loads(metadata.get(UNTRAINED, "{}")), originals)
    # The alpha of every module is its rank so far.
    scaled = {name: one if one.ndim else one.float() * alpha / rank for name, one in renamed.items()}
    if family in UNETS and not any(name.startswith("lora_te2_") for name in scaled):
        scaled = {name.replace("lora_te1_", "lora_te_", 1): one for name, one in scaled.items()}
    metadata.pop("lora_adapter_metadata")
    return _written({name: one.contiguous() for name, one in sorted(scaled.items())}, metadata)


def _by_authors(
    tensors: Mapping[str, Tensor], untrained: Mapping[str, int], originals: OriginalNames
) -> dict[str, Tensor]:
    """A transformer's layers by kohya's names; the alpha of each is its rank."""
    own = {name.removeprefix(DENOISER): one for name, one in tensors.items()}
    made: dict[str, Tensor] = {}
    for name, layer in authors_layers(own, untrained, originals).items():
        parts = {"lora_down.weight": layer.down, "lora_up.weight": layer.up, "alpha": torch.tensor(len(layer.down))}
        made |= {f"lora_unet_{name.replace('.', '_')}.{ending}": one for ending, one in parts.items()}
    return made


def _written(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    return sorted_file(save(dict(tensors), dict(metadata)))


def sorted_file(content: bytes) -> bytes:
    """A safetensors file with a sorted header: the library writes metadata in an order of its own each time."""
    length = int.from_bytes(content[:8], "little")
    header = _json(json.loads(content[8 : 8 + length])).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + content[8 + length :]


def _json(entries: Mapping[str, Any]) -> str:
    return json.dumps(entries, sort_keys=True, separators=(",", ":"))
