"""Pictures in the size that a model was trained on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from weft.engine import Engine, Graph, Upstream
from weft.nodes import Image, LoadCheckpoint, LoadImage, SaveImage, ScaleImageToModel, VAEDecode, VAEEncode
from weft.nodes.sizes import size_above, size_of

FITS = {"area": (160, 104), "fill": (128, 128), "stretch": (128, 128)}


@pytest.mark.parametrize("fit", FITS)
def test_a_photograph_is_scaled_to_what_the_model_was_trained_on(fit: Any, tmp_path: Path) -> None:
    """The embedded model was trained on 128 x 128; the size is known before a run, and is what a run makes."""
    pixels = torch.rand(1, 200, 300, 3)
    Image(pixels).save(tmp_path / "photo.png")
    with Graph() as graph:
        checkpoint = LoadCheckpoint("builtin:landscapes")
        scaled = ScaleImageToModel(LoadImage("photo.png"), checkpoint.model, fit=fit)
        SaveImage(VAEDecode(checkpoint.vae, VAEEncode(checkpoint.vae, scaled)))
    engine = Engine(store=None, device="cpu", inputs=[tmp_path], output=tmp_path / "out")
    checked = engine.check(graph)
    assert not checked.problems
    assert size_above(Upstream(checked.calls["vae_encode"], checked.calls), "image") == FITS[fit]
    (path,) = engine.run(graph).paths
    import PIL.Image

    assert PIL.Image.open(path).size == FITS[fit]


def test_tiny_models_say_their_size_too(call: Callable[..., Any]) -> None:
    model = call(LoadCheckpoint, source="epsilon").model
    assert size_of(call(ScaleImageToModel, image=Image(torch.rand(1, 10, 10, 3)), model=model).pixels) == (64, 64)
