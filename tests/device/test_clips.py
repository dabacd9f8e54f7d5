"""Models that make clips run on CUDA devices and on MPS in every precision: no tensor meets one of another device.

`pytest -m slow -s tests/device/test_clips.py` prints how far frames are from those of the host in the same precision.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.device.device_pictures import check_everywhere
from weft.engine import Graph, Link
from weft.nodes import (
    CFGGuide,
    EmptyVideoLatent,
    EncodeImage,
    ImageToVideoGuide,
    KSampler,
    LoadCheckpoint,
    LoadDiffusionModel,
    LoadImage,
    LoadImageEncoder,
    ScaleImage,
    SplitVideo,
    SwitchGuide,
    TextEncode,
    VAEDecodeVideo,
)

SIDE = 64

PICTURED = ("wan-pictures", "wan-5b-pictures", "ltx-pictures", "cogvideox-pictures")


def clip_graph(model: str) -> Graph:
    """A clip in two steps."""
    source = model.removesuffix("-pictures") if model.startswith("ltx") else model
    with Graph(outputs={"image": Link("split_video")}) as graph:
        loaded: Any = LoadCheckpoint(source)
        prompts = [TextEncode(loaded.text_encoder, text) for text in ("a red house", "night")]
        guide = CFGGuide(loaded.model, *prompts, scale=4.0)
        latent = EmptyVideoLatent(SIDE, SIDE, 9)
        if model == "wan-experts":
            guide = SwitchGuide(guide, CFGGuide(LoadDiffusionModel(f"{source}/transformer_2"), *prompts, scale=2.0))
        if model in PICTURED:
            picture = ScaleImage(LoadImage("lake.png"), SIDE, SIDE)
            seen = EncodeImage(LoadImageEncoder(source), picture) if model == "wan-pictures" else None
            guide = ImageToVideoGuide(guide, loaded.vae, latent, picture, None, seen)
        SplitVideo(VAEDecodeVideo(loaded.vae, KSampler(guide, latent, seed=1, steps=2, sampler="model")))
    return graph


@pytest.mark.slow
@pytest.mark.parametrize("model", ["wan", "wan-5b", "wan-experts", "ltx", "cogvideox", "cogvideox-turned", *PICTURED])
def test_a_clip(zoo: Callable[[str], str], models: Path, tmp_path: Path, model: str) -> None:
    zoo(model.removesuffix("-pictures") if model.startswith("ltx") else model)
    check_everywhere(clip_graph(model), model, model in PICTURED, models=[models], output=tmp_path)
