"""Models that make clips run on CUDA devices and on MPS in every precision: no tensor meets one of another device.

How far frames are from those of the host in the same precision:
`pytest -m "slow or not slow" -s tests/device/test_clips.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.device.device_pictures import check_everywhere, write_lora
from weft.engine import Graph, Link
from weft.nodes import (
    ApplyLoRA,
    BatchImages,
    CFGGuide,
    EmptyVideoLatent,
    EncodeImage,
    ImageToVideoGuide,
    KSampler,
    LoadCheckpoint,
    LoadDiffusionModel,
    LoadImage,
    LoadImageEncoder,
    LoadLoRA,
    MotionGuide,
    ScaleImage,
    SplitVideo,
    SwitchGuide,
    TextEncode,
    VAEDecodeVideo,
)

SIDE = 64

WIDE = 320
"""Pixels across clips that are decoded in tiles, of which the VAEs of clips have none below 256."""

PICTURED = (
    *("wan-pictures", "wan-ends", "wan-5b-pictures", "wan-experts-pictures"),
    *("ltx-pictures", "cogvideox-pictures", "cogvideox-patched-pictures", "hunyuan-video-pictures", "svd"),
)
"""Models whose clips begin with a picture."""

SEEING = ("wan-pictures", "wan-ends", "hunyuan-video-pictures", "svd")
"""Those that read it by an image encoder too."""

MODELS = (
    *("wan", "wan-5b", "wan-experts", "ltx", "ltx-timed"),
    *("cogvideox", "cogvideox-turned", "cogvideox-learned", "cogvideox-patched", "hunyuan-video", *PICTURED),
)

WAYS = [
    *((model, "clip") for model in MODELS),
    *((model, way) for way in ("LoRA", "tiled") for model in ("wan", "wan-5b", "ltx", "cogvideox", "hunyuan-video")),
]


def source_of(model: str) -> str:
    """The checkpoint: LTX-Video has one for clips with and without pictures."""
    return model.removesuffix("-pictures") if model.startswith("ltx") else model


def clip_graph(model: str, way: str = "clip", lora: str = "", side: int = SIDE, frames: int = 9) -> Graph:
    """A clip in two steps."""
    source = source_of(model)
    with Graph(outputs={"image": Link("split_video")}) as graph:
        loaded: Any = LoadCheckpoint(source)
        network = ApplyLoRA(LoadLoRA(lora), loaded.model, loaded.text_encoder).model if lora else loaded.model
        texts = ("", "") if model == "svd" else ("a red house", "night")
        prompts = [TextEncode(loaded.text_encoder, text) for text in texts]
        guide: Any = CFGGuide(network, *prompts, scale=4.0)
        tile, frames = (256, 9) if way == "tiled" else (0, frames)
        latent = EmptyVideoLatent(WIDE if tile else side, side, frames)
        if "experts" in model:
            guide = SwitchGuide(guide, CFGGuide(LoadDiffusionModel(f"{source}/transformer_2"), *prompts, scale=2.0))
        if model in PICTURED:
            picture = ScaleImage(LoadImage("lake.png"), side, side)
            seen: Any = None
            if model in SEEING:
                pictures = BatchImages([picture, picture]) if model == "wan-ends" else picture
                seen = EncodeImage(LoadImageEncoder(source), pictures, whole=model == "svd")
            if model == "svd":
                guide = MotionGuide(guide, loaded.vae, latent, picture, seen)
            else:
                last = picture if model == "wan-ends" else None
                guide = ImageToVideoGuide(guide, loaded.vae, latent, picture, last, seen)
        sampled = KSampler(guide, latent, seed=1, steps=2, sampler="model")
        SplitVideo(VAEDecodeVideo(loaded.vae, sampled, tile=tile))
    return graph


@pytest.mark.slow
@pytest.mark.parametrize(("model", "way"), WAYS)
def test_a_clip(zoo: Callable[[str], str], models: Path, tmp_path: Path, model: str, way: str) -> None:
    name = zoo(source_of(model))
    lora = f"{name}-lora.safetensors" if way == "LoRA" else ""
    if lora:
        write_lora(models, name, models / lora)
    graph = clip_graph(model, way, lora)
    check_everywhere(graph, f"{model} {way}", model in PICTURED, models=[models], output=tmp_path)
