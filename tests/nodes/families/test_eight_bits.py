"""Weights kept in eight bits: pictures are those of the numbers that they stand for, and near to the whole ones.

Slow: `pytest -m slow tests/nodes/families/test_eight_bits.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.nodes.conftest import read_pixels
from tests.nodes.oracle import PROMPT, SEED, SIZE
from weft.engine import Engine, Graph
from weft.nodes import (
    ApplyLoRAToModel,
    CFGGuide,
    EmptyLatent,
    KSampler,
    LoadCheckpoint,
    LoadDiffusionModel,
    LoadLoRA,
    SaveImage,
    TextEncode,
    VAEDecode,
)
from weft.nodes.models.eight_bits import in_eight_bits
from weft.nodes.models.packed_weights import packed_layers


def painted(engine: Engine, denoiser: str, lora: str = "", **options: Any) -> Any:
    """A picture by a denoiser of its own with the other parts of a whole checkpoint."""
    with Graph() as graph:
        whole = LoadCheckpoint("flux-dev")
        model: Any = LoadDiffusionModel(denoiser, **options)
        if lora:
            model = ApplyLoRAToModel(model=model, lora=LoadLoRA(lora))
        guide = CFGGuide(model, TextEncode(whole.text_encoder, PROMPT), None, scale=1.0)
        latent = KSampler(guide, EmptyLatent(SIZE, SIZE, 1), seed=SEED, steps=2, sampler="model")
        SaveImage(VAEDecode(whole.vae, latent))
    return read_pixels(engine.run(graph).paths)


@pytest.mark.parametrize("storage", ["fp8", pytest.param("int8", marks=pytest.mark.slow)])
def test_a_picture_is_that_of_the_numbers_in_eight_bits(
    engine: Engine, zoo: Any, call: Any, models: Path, storage: str
) -> None:
    folder = models / zoo("flux-dev") / "transformer"
    recipe = call(LoadDiffusionModel, source="flux-dev/transformer", weights=storage)
    with engine._context().weights(recipe) as denoiser:
        meant = {f"{name}.weight": one.weight.clone() for name, one in packed_layers(denoiser.network)}
    found = {name: one.float() for name, one in load_file(folder / "diffusion_pytorch_model.safetensors").items()}
    assert len(meant) > 20 and "proj_out.weight" not in meant
    save_file({**found, **meant}, models / f"meant-{storage}.safetensors")
    save_file(
        {"transformer.x_embedder.lora_A.weight": torch.ones(1, 64) / 8}
        | {"transformer.x_embedder.lora_B.weight": torch.ones(64, 1) / 8},
        models / "ones_lora.safetensors",
    )
    for lora in ("", "ones_lora.safetensors"):
        stored = painted(engine, "flux-dev/transformer", lora, weights=storage)
        whole = painted(engine, "flux-dev/transformer", lora)
        assert numpy.array_equal(stored, painted(engine, f"meant-{storage}.safetensors", lora))
        assert 0 < numpy.abs(stored.astype(int) - whole.astype(int)).mean() < 2


@pytest.mark.parametrize(("storage", "error"), [("fp8", 1 / 16), ("int8", 1 / 127)])
def test_a_row_takes_the_whole_range(storage: str, error: float) -> None:
    weight = torch.randn(8, 64) * torch.logspace(-6, 2, 8)[:, None]
    weight[3] = 0
    stored = in_eight_bits(weight, storage)
    assert stored.numbers.element_size() == 1
    largest = weight.abs().amax(dim=1, keepdim=True)
    assert bool(((stored.unpacked(torch.float32) - weight).abs() <= largest * error).all())


def test_text_encoders_are_kept_in_eight_bits(engine: Engine, zoo: Any, call: Any) -> None:
    whole = call(LoadCheckpoint, source=zoo("flux-dev"))
    small = call(LoadCheckpoint, source="flux-dev", text_encoder_weights="int8")
    exact, near = (
        call(TextEncode, text_encoder=one.text_encoder, text=PROMPT).prompts[0].embeddings for one in (whole, small)
    )
    assert 0 < (exact - near).abs().mean() < 0.05 * exact.std()
