"""OpenCLIP's vision model under transformers' names: the layout of its authors, and of Stable unCLIP in one file.

Imports no torch.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

OPEN_PREFIXES = ("embedder.model.visual.", "visual.")
"""What the names of its tensors begin with."""

OPEN_ENTRIES = ("conv1.weight", "positional_embedding", "class_embedding")
"""Tensors by which it is recognised."""

OPEN_LAYER = re.compile(r"transformer\.resblocks\.(\d+)\.(.+)")

ENDS = {
    "class_embedding": "vision_model.embeddings.class_embedding",
    "positional_embedding": "vision_model.embeddings.position_embedding.weight",
    "conv1.weight": "vision_model.embeddings.patch_embedding.weight",
    "ln_pre.": "vision_model.pre_layrnorm.",
    "ln_post.": "vision_model.post_layernorm.",
}
"""Names outside of the layers, and those of transformers."""

PARTS = {
    "ln_1.": "layer_norm1.",
    "ln_2.": "layer_norm2.",
    "attn.out_proj.": "self_attn.out_proj.",
    "mlp.c_fc.": "mlp.fc1.",
    "mlp.c_proj.": "mlp.fc2.",
}
"""The parts of a layer."""


def transformers_names(found: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """The tensors of OpenCLIP's vision model, below its prefix, by transformers' names; others keep their own."""
    for name, one in found.items():
        layer = OPEN_LAYER.fullmatch(name)
        if name == "proj":
            yield "visual_projection.weight", one.T.contiguous()
        elif layer and layer[2].startswith("attn.in_proj_"):
            kind = layer[2].removeprefix("attn.in_proj_")
            for side, part in zip(("q", "k", "v"), one.chunk(3), strict=True):
                yield f"vision_model.encoder.layers.{layer[1]}.self_attn.{side}_proj.{kind}", part
        elif layer:
            yield f"vision_model.encoder.layers.{layer[1]}.{_renamed(layer[2], PARTS)}", one
        else:
            yield _renamed(name, ENDS), one


def _renamed(name: str, table: Mapping[str, str]) -> str:
    old = next((old for old in table if name.startswith(old)), "")
    return table[old] + name.removeprefix(old) if old else name
