"""Weights kept in few bits: pictures are those of the numbers that they stand for, and near to the whole ones.

Slow: `pytest -m slow tests/nodes/families/test_few_bits.py`. Two tests need packages, bitsandbytes to compare with and
torchao to multiply by.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from tests.nodes.conftest import read_pixels
from tests.nodes.oracle import PROMPT, SEED, SIZE
from tests.refusals import refused
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
from weft.nodes.models.few_bits import LEVELS, _by_kernel, in_eight_bits, in_four_bits, store_in_few_bits
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


@pytest.mark.parametrize("storage", ["nf4", *(pytest.param(one, marks=pytest.mark.slow) for one in ("fp8", "int8"))])
def test_a_picture_is_that_of_the_numbers_in_few_bits(
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
        assert 0 < numpy.abs(stored.astype(int) - whole.astype(int)).mean() < (8 if storage == "nf4" else 2)


@pytest.mark.parametrize(("storage", "error"), [("fp8", 1 / 16), ("int8", 1 / 127)])
def test_a_row_takes_the_whole_range(storage: str, error: float) -> None:
    weight = torch.randn(8, 64) * torch.logspace(-6, 2, 8)[:, None]
    weight[3] = 0
    stored = in_eight_bits(weight, storage)
    assert stored.numbers.element_size() == 1
    largest = weight.abs().amax(dim=1, keepdim=True)
    assert bool(((stored.unpacked(torch.float32) - weight).abs() <= largest * error).all())


@given(rows=st.integers(1, 5), length=st.integers(1, 200), scale=st.sampled_from([1e-8, 1.0, 1e4]))
def test_four_bits_are_the_nearest_levels_of_each_block(rows: int, length: int, scale: float) -> None:
    weight = torch.randn(rows, length, generator=torch.Generator().manual_seed(length)) * scale
    stored = in_four_bits(weight)
    assert stored.shape == (rows, length) and stored.numbers.numel() == rows * -(-length // 64) * 32
    levels = torch.tensor(LEVELS)
    for first in range(0, length, 64):
        block, found = (one[:, first : first + 64] for one in (weight, stored.unpacked(torch.float32)))
        most = block.abs().amax(dim=1, keepdim=True)
        nearest = levels[(block[..., None] / most[..., None] - levels).abs().argmin(dim=-1)] * most
        torch.testing.assert_close(found, nearest)
    part = stored.rows(slice(0, 1)).unpacked(torch.float32)
    assert torch.equal(part, stored.unpacked(torch.float32)[:1])
    assert torch.equal(in_four_bits(torch.zeros(2, 64)).unpacked(torch.float32), torch.zeros(2, 64))


def test_four_bits_are_those_of_bitsandbytes() -> None:
    functional = pytest.importorskip("bitsandbytes").functional
    weight = torch.randn(64, 256, generator=torch.Generator().manual_seed(0))
    stored = in_four_bits(weight)
    numbers, state = functional.quantize_4bit(weight, blocksize=64, quant_type="nf4")
    assert torch.equal(stored.numbers.flatten(), numbers.flatten())
    assert torch.equal(stored.scales.flatten(), state.absmax)
    assert torch.equal(stored.unpacked(torch.float32), functional.dequantize_4bit(numbers, state))
    assert torch.equal(_by_kernel(stored.numbers, stored.scales), stored.unpacked(torch.float32))


def test_products_in_integers_are_those_of_torchao(engine: Engine, zoo: Any, models: Path) -> None:
    quantization = pytest.importorskip("torchao.quantization")
    layer = torch.nn.Linear(64, 32)
    inputs, plain = torch.randn(3, 5, 64), torch.nn.Linear(64, 32)
    plain.load_state_dict(layer.state_dict())
    quantization.quantize_(plain, quantization.Int8DynamicActivationInt8WeightConfig())
    store_in_few_bits(network := torch.nn.Sequential(layer), "int8_dynamic", "cpu")
    # Both round a row by its largest magnitude, over 127 here and over 127.5 there.
    apart = (network(inputs) - plain(inputs)).abs().mean() / plain(inputs).abs().mean()
    assert apart < 0.01
    zoo("flux-dev")
    whole, stored = (painted(engine, "flux-dev/transformer", weights=one) for one in ("file", "int8_dynamic"))
    assert 0 < numpy.abs(stored.astype(int) - whole.astype(int)).mean() < 4


def test_products_in_integers_without_their_package_or_device_are_refused(engine: Engine, zoo: Any) -> None:
    with refused("unsupported-by-device", "mps"):
        store_in_few_bits(torch.nn.Sequential(torch.nn.Linear(4, 4)), "int8_dynamic", "mps")
    if find_spec("torchao") is None:
        with Graph() as graph:
            graph.output("model", LoadDiffusionModel(f"{zoo('flux-dev')}/transformer", weights="int8_dynamic"))
        assert [one.code for one in engine.check(graph).problems] == ["missing-package"]


def test_text_encoders_are_kept_in_eight_bits(engine: Engine, zoo: Any, call: Any) -> None:
    whole = call(LoadCheckpoint, source=zoo("flux-dev"))
    small = call(LoadCheckpoint, source="flux-dev", text_encoder_weights="int8")
    exact, near = (
        call(TextEncode, text_encoder=one.text_encoder, text=PROMPT).prompts[0].embeddings for one in (whole, small)
    )
    assert 0 < (exact - near).abs().mean() < 0.05 * exact.std()
