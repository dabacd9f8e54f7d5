"""What the header of a LoRA file says: what it changes, how it is scaled, what it was made for. Imports no torch."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from weft.engine import InputError
from weft.nodes.models.lora_file import DENOISER, PARTS, LoRALayer, layers_of
from weft.nodes.models.safetensors_header import Shapes


@dataclass(frozen=True)
class Scaling:
    """How PEFT scales the changes of one part, where no tensor says it: alpha / rank, or by the root of the rank.

    Args:
        alpha: of most modules; None is the rank of each.
        alphas: of others, by patterns of their names.
        rooted: whether alpha is divided by the root of the rank (rsLoRA, https://arxiv.org/abs/2312.03732).
    """

    alpha: float | None = None
    alphas: Mapping[str, float] = field(default_factory=dict)
    rooted: bool = False

    def of(self, module: str, rank: int) -> float:
        """The factor of the change of a module."""
        own = next((one for pattern, one in self.alphas.items() if _matches(pattern, module)), self.alpha)
        return 1.0 if own is None or not rank else own / (math.sqrt(rank) if self.rooted else rank)


def _matches(pattern: str, module: str) -> bool:
    """Whether a key of PEFT's patterns means a module: its whole name, or the end of it."""
    exact = pattern.removeprefix("^")
    return module == exact or (exact == pattern and module.endswith(f".{pattern}"))


@dataclass(frozen=True)
class LoRAFacts:
    """What headers say of a LoRA.

    Args:
        layers: the modules that it changes.
        family: the name of the family that it was made for; empty where that is not known.
        scalings: by part.
        made_for: the model that it was made for, in the words of its trainer; empty where it says nothing.
    """

    layers: tuple[LoRALayer, ...] = field(repr=False)
    family: str
    scalings: Mapping[str, Scaling] = field(repr=False)
    made_for: str = ""

    def of_part(self, *parts: str) -> tuple[LoRALayer, ...]:
        """The layers of a part of a model, by any of its names."""
        return tuple(layer for layer in self.layers if layer.part in parts)

    @property
    def replaces_norms(self) -> bool:
        """Whether norms of its own stand in the place of the model's, as those of Control LoRAs do."""
        return any(layer.form == "norm" for layer in self.layers)

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts of a model that it changes."""
        return tuple(dict.fromkeys(layer.part for layer in self.layers))

    def scale(self, layer: LoRALayer, alpha: float | None) -> float:
        """The factor of a layer's change, by its alpha where it has one."""
        if layer.form in ("diff", "norm"):
            return 1.0
        if alpha is not None:
            return alpha / layer.rank if layer.rank else 1.0
        return self.scalings.get(layer.part, Scaling()).of(layer.module, layer.rank)

    def __str__(self) -> str:
        ranks = sorted({layer.rank for layer in self.layers} - {0})
        rank = [f"rank {ranks[0]}" if len(ranks) == 1 else f"ranks {ranks[0]} to {ranks[-1]}"] if ranks else []
        return "; ".join([*rank, ", ".join(self.parts), *([f"made for {self.made_for}"] if self.made_for else [])])


def lora_facts(
    shapes: Shapes, metadata: Mapping[str, str], config: Mapping[str, Any] | None = None
) -> LoRAFacts | None:
    """What the header of a file says of a LoRA; None where it is none.

    Args:
        config: PEFT's configuration of it, where it comes with one.

    Raises:
        InputError: where some of its tensors are not read.
    """
    layers = layers_of(shapes)
    if not layers:
        return None
    named = {layer.part: scaling_of(config) for layer in layers} if config else {}
    stated = {"base_model": str((config or {}).get("base_model_name_or_path") or ""), **metadata}
    return LoRAFacts(layers, _family(layers, metadata), {**named, **_scalings(metadata)}, _made_for(stated))


SAYS = ("ss_base_model_version", "modelspec.architecture", "ss_sd_model_name", "modelspec.title", "base_model")
"""Entries of metadata that say for which model a LoRA was made, in the order in which they are believed."""

STATED: tuple[tuple[str, str], ...] = (
    (r"sdxl|stable-diffusion-xl|\bxl\b|pony|illustrious", "SDXL"),
    (r"sd_?3|stable-diffusion-3", "SD3"),
    (r"flux[-_. ]?2|klein|chroma", ""),
    (r"flux", "FLUX"),
    (r"z[-_ ]?image", "ZImage"),
    (r"qwen[-_ ]?image", "QwenImage"),
    (r"sd_?v?2|stable-diffusion-v2|stable-diffusion-2", "SD2"),
    (r"sd_?v?1|stable-diffusion-v1|stable-diffusion-1", "SD1"),
)
"""Words of metadata, as patterns, and the family that they mean; the first that fits."""

NAMED: tuple[tuple[str, str], ...] = (
    (r"(single|double)_(transformer_)?blocks.*([._](img|txt)_mod|modulation|norm1?(_context)?[._]linear)", "FLUX"),
    (r"joint_blocks", "SD3"),
    (r"transformer_blocks[._]\d+[._](img|txt)_(mlp|mod)", "QwenImage"),
    (r"layers[._]\d+[._](attn[._]to_|feed_forward[._]linear_)", "Lumina2"),
    (r"layers[._]\d+[._](attention|feed_forward|adaLN)|(noise|context)_refiner", "ZImage"),
)
"""Names of modules, as patterns, that one family alone has. FLUX.2 and Chroma share those of FLUX.1's blocks, but for
what modulates them; a LoRA without is tried by its shapes."""

WIDTHS: tuple[tuple[str, Mapping[int, str]], ...] = (
    (r"(down|up|input|output|mid|middle)_blocks?[._].*attn2[._]to_[kv]", {768: "SD1", 1024: "SD2", 2048: "SDXL"}),
    (r"transformer_blocks[._]\d+[._]attn2?[._]to_[qkv]", {1536: "SD3", 2432: "SD3"}),
)
"""Names of modules, as patterns, and the family by the channels that they read: a UNet's prompts, SD 3's tokens."""


def _family(layers: Sequence[LoRALayer], metadata: Mapping[str, str]) -> str:
    """The family of a LoRA: by names that no other has, the width of its prompts, or what its trainer says."""
    own = [layer for layer in layers if layer.part == DENOISER]
    for pattern, family in NAMED:
        if any(re.search(pattern, layer.module) for layer in own):
            return family
    for pattern, families in WIDTHS:
        widths = {layer.size[1] for layer in own if re.search(pattern, layer.module)}
        read = {families.get(width, "") for width in widths}
        if len(read) == 1 and (family := read.pop()):
            return family
    stated = next((metadata[name].lower() for name in SAYS[:2] if metadata.get(name)), "")
    return next((family for pattern, family in STATED if stated and re.search(pattern, stated)), "")


def _made_for(metadata: Mapping[str, str]) -> str:
    return next((metadata[name] for name in SAYS if metadata.get(name, "").strip()), "")[:LONGEST]


LONGEST = 100
"""Characters that are kept of what a trainer says."""


def _scalings(metadata: Mapping[str, str]) -> dict[str, Scaling]:
    """PEFT's configurations, as diffusers writes them into the header: `unet.lora_alpha`, `unet.use_rslora`."""
    try:
        entries = json.loads(metadata.get("lora_adapter_metadata", "{}"))
    except (ValueError, RecursionError):
        return {}
    found: dict[str, dict[str, Any]] = {}
    for name, given in entries.items() if isinstance(entries, dict) else ():
        folder, _, option = name.partition(".")
        found.setdefault(PARTS.get(f"{folder}.", DENOISER), {})[option] = given
    return {part: scaling_of(options) for part, options in found.items()}


NAME = re.compile(r"\^?[\w.-]+")
"""What a key of PEFT's patterns is where it names a module, or the end of its name."""


def scaling_of(options: Mapping[str, Any]) -> Scaling:
    """The scaling of a configuration of PEFT's.

    Raises:
        InputError: where it names modules by a regular expression.
    """
    alpha, patterns = options.get("lora_alpha", options.get("alpha")), options.get("alpha_pattern")
    numbers = patterns.items() if isinstance(patterns, dict) else ()
    for name, _ in numbers:
        if not NAME.fullmatch(str(name)):
            raise InputError(
                f"the alphas of the LoRA are by the regular expression `{str(name)[:LONGEST]}`, which is not read",
                "write the names of modules into `alpha_pattern`, or save it with diffusers, which does",
                "unsupported-weights",
            )
    return Scaling(
        float(alpha) if isinstance(alpha, int | float) else None,
        {str(name): float(one) for name, one in numbers if isinstance(one, int | float)},
        options.get("use_rslora") is True,
    )
