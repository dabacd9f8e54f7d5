"""ComfyUI's classes that have no counterpart here, each with the reason, and with what serves in its place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from weft.nodes.interop.entries import UnmappableError
from weft.nodes.interop.writing import MappedNode, maps

REASONS: Mapping[str, str] = {
    "CheckpointSave": "whole checkpoints are written by `weft models merge`, and by no node",
    "VAESave": "VAEs are written by no node; MergeVAEs makes one that is kept as a recipe",
    **dict.fromkeys(
        ("EmptyLTXVLatentVideo", "LTXVConditioning", "LTXVImgToVideo", "LTXVScheduler"),
        "LTX-Video is read from a folder in diffusers' layout, and from no single file "
        "(graphs/families/ltx_video.json)",
    ),
    **dict.fromkeys(
        ("EmptyHunyuanVideo15Latent", "HunyuanVideo15ImageToVideo"),
        "HunyuanVideo 1.5 is read from a folder in diffusers' layout, and from no single file "
        "(graphs/families/hunyuan_video.json)",
    ),
    "Wan22ImageToVideoLatent": "the VAE of Wan 2.2's model of 5 billion weights is read from a folder in diffusers' "
    "layout, and from no single file (graphs/families/wan_5b.json)",
    "T5TokenizerOptions": "T5 pads prompts as the family was trained, and TextEncode has `max_sequence_length`",
    "LatentUpscaleModelLoader": "networks that scale latents of clips are not loaded; UpscaleImage scales pictures",
    "ModelSamplingContinuousEDM": "a model's noise levels are those of its file or its family, and continuous ones do "
    "not take their place",
}


def _refused(one: MappedNode) -> tuple[Any, ...]:
    raise UnmappableError(REASONS[one.node.type])


maps(*REASONS)(_refused)
