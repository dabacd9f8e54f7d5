"""Optimize: caches equal those of diffusers, layouts and kernels change nothing but rounding, and nothing stays behind.

What compiles takes a minute: `pytest -m "slow or not slow" tests/nodes/families/test_optimize.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.nodes.conftest import read_pixels
from tests.nodes.families import lora_files as files
from tests.nodes.families.video_graphs import frames_of, video_graph
from tests.nodes.oracle import NEGATIVE, PROMPT, SEED, SIZE, Oracle, Pixels, assert_same, diffusers
from tests.refusals import refused
from weft.engine import Engine, Graph
from weft.nodes import (
    ApplyLoRAToModel,
    CFGGuide,
    EmptyLatent,
    KSampler,
    LoadCheckpoint,
    LoadLoRA,
    Optimize,
    OptimizeVAE,
    SaveImage,
    TextEncode,
    VAEDecode,
)
from weft.nodes.models.fused_projections import FUSED
from weft.nodes.models.sliced_attention import in_slices
from weft.nodes.sampling.forecasting import ForecastPredictions
from weft.nodes.values import Forecast

Zoo = Callable[[str], str]

STEPS = 6

HOOKS: Any = diffusers
"""Whose classes of settings have no annotations."""


def painted(engine: Engine, name: str, *, batch: int = 1, size: int = SIZE, lora: str = "", **options: Any) -> Pixels:
    """A picture of a checkpoint with its own sampler, optimised."""
    with Graph() as graph:
        checkpoint = LoadCheckpoint(name)
        model = Optimize(checkpoint.model, **options) if options else checkpoint.model
        if lora:
            model = ApplyLoRAToModel(LoadLoRA(lora), model)
        prompts = [TextEncode(checkpoint.text_encoder, text) for text in (PROMPT, NEGATIVE)]
        guide = CFGGuide(model, *prompts[: 1 if name.startswith("flux") else 2], scale=3.5)
        latent = KSampler(guide, EmptyLatent(size, size, batch), seed=SEED, steps=STEPS, sampler="model")
        SaveImage(VAEDecode(checkpoint.vae, latent))
    return read_pixels(engine.run(graph).paths)


CACHES: dict[str, tuple[dict[str, Any], Callable[[], Any]]] = {
    "taylor_seer": (
        {"interval": 2, "warm_up": 1, "order": 1},
        lambda: HOOKS.TaylorSeerCacheConfig(
            cache_interval=2,
            disable_cache_before_step=1,
            max_order=1,
            taylor_factors_dtype=torch.float32,
            use_lite_mode=True,
        ),
    ),
    "first_block": ({"threshold": 1.0}, lambda: HOOKS.FirstBlockCacheConfig(threshold=1.0)),
}


@pytest.mark.parametrize("cache", CACHES)
def test_pictures_with_a_cache_are_those_of_diffusers(cache: str, zoo: Zoo, oracle: Oracle, engine: Engine) -> None:
    options, config = CACHES[cache]
    name = zoo("flux-dev")
    ours = painted(engine, name, cache=cache, **options)
    call: Any = {"model": name, "height": SIZE, "width": SIZE, "num_inference_steps": STEPS, "guidance_scale": 3.5}
    call |= {"prompt": [PROMPT], "negative_prompt": None}
    plain = oracle.paint(diffusers.FluxPipeline, "model", **call)
    transformer = oracle.pipeline(name).transformer
    transformer.enable_cache(config())
    try:
        theirs = oracle.paint(diffusers.FluxPipeline, "model", **call)
    finally:
        transformer.disable_cache()
    assert_same(ours, theirs)
    assert not numpy.array_equal(theirs, plain), "the cache skips nothing"
    assert_same(painted(engine, name), plain)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("epsilon", {"channels_last": True}),
        ("epsilon", {"separate": True}),
        ("flux-dev", {"attention": "math"}),
        ("flux-dev", {"attention": "flash"}),
        ("sd35", {"fuse": True}),
    ],
)
def test_other_layouts_and_kernels_change_rounding_alone_and_leave_nothing_behind(
    name: str, options: dict[str, Any], zoo: Zoo, engine: Engine
) -> None:
    source = name if name == "epsilon" else zoo(name)
    plain = painted(engine, source)
    assert_same(painted(engine, source, **options), plain)
    assert numpy.array_equal(painted(engine, source), plain)


@pytest.mark.slow
def test_a_clip_with_channels_last_changes_by_rounding_alone(zoo: Zoo, engine: Engine) -> None:
    plain, faster = (
        frames_of(engine, video_graph(zoo("wan"), 5, changed=partial(Optimize, channels_last=last)))
        for last in (False, True)
    )
    assert_same(faster, plain)


def test_a_vae_with_channels_last_decodes_the_same(engine: Engine) -> None:
    with Graph() as graph:
        checkpoint = LoadCheckpoint("epsilon")
        guide = CFGGuide(checkpoint.model, TextEncode(checkpoint.text_encoder, PROMPT), scale=1.0)
        latent = KSampler(guide, EmptyLatent(SIZE, SIZE), seed=SEED, steps=2)
        for vae in (checkpoint.vae, OptimizeVAE(checkpoint.vae)):
            SaveImage(VAEDecode(vae, latent))
    plain, faster = read_pixels(engine.run(graph).paths)[:, None]
    assert_same(faster, plain)


def test_an_item_is_the_same_alone_and_in_a_batch_where_steps_are_extrapolated(engine: Engine) -> None:
    options: dict[str, Any] = {"cache": "taylor_seer", "warm_up": 1}
    assert_same(painted(engine, "epsilon", batch=2, **options)[:1], painted(engine, "epsilon", **options))


@pytest.mark.parametrize(
    ("code", "options"),
    [
        ("unsupported-by-model", {"attention": "math"}),
        ("unsupported-by-model", {"cache": "first_block"}),
        ("conflicting-inputs", {"cache": "first_block", "compile": True}),
        ("conflicting-inputs", {"cache": "first_block", "capture": True}),
        ("missing-package", {"attention": "xformers"}),
    ],
)
def test_what_cannot_be_is_refused_before_anything_runs(
    code: str, options: dict[str, Any], zoo: Zoo, engine: Engine
) -> None:
    name = "epsilon" if code == "unsupported-by-model" else zoo("flux-dev")
    with Graph() as graph:
        graph.output("model", Optimize(LoadCheckpoint(name).model, **options))
    problems = engine.check(graph).problems
    assert [one.code for one in problems] == [code] and problems[0].hint


def test_a_kernel_of_another_device_is_refused(zoo: Zoo, engine: Engine) -> None:
    with refused("unsupported-by-device", "cudnn", "cpu"):
        painted(engine, zoo("flux-dev"), attention="cudnn")
    with refused("unsupported-by-device", "cpu"):
        painted(engine, zoo("flux-dev"), capture=True)


@given(st.integers(1, 4), st.integers(1, 5), st.integers(2, 4), st.integers(-3, 3), st.integers(-3, 3))
def test_predictions_on_a_line_are_extrapolated_exactly(
    order: int, interval: int, warm_up: int, start: int, slope: int
) -> None:
    forecast = ForecastPredictions(Forecast(interval, warm_up, order))
    for step in range(12):
        wanted = torch.tensor(float(start + slope * step), dtype=torch.float64)
        found = forecast.computed(wanted) if forecast.due() else forecast.extrapolated()
        assert found.item() == pytest.approx(wanted.item())


def graphs_compiled() -> int:
    from torch._dynamo.utils import counters

    return int(counters["stats"]["unique_graphs"])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["epsilon", "flux-dev"])
def test_a_compiled_network_paints_the_same_and_compiles_once(name: str, zoo: Zoo, engine: Engine) -> None:
    source = name if name == "epsilon" else zoo(name)
    plain, larger = painted(engine, source), painted(engine, source, size=2 * SIZE)
    assert_same(painted(engine, source, compile=True), plain)
    once = graphs_compiled()
    assert once > 0
    assert_same(painted(engine, source, size=2 * SIZE, compile=True), larger)
    assert numpy.array_equal(painted(engine, source), plain)
    assert_same(painted(engine, source, compile=True), plain)
    assert graphs_compiled() == once


@pytest.mark.slow
def test_loras_are_exchanged_in_a_compiled_network_without_compiling_again(models: Path, engine: Engine) -> None:
    unet = diffusers.UNet2DConditionModel.from_pretrained(models / "epsilon" / "unet")
    for seed, name in enumerate(("swap-one", "swap-two")):
        made = files.kohya(files.low_rank(unet, seed, "attn"), "lora_unet_")
        files.save(made, models / f"{name}.safetensors", ss_base_model_version="sd_v1")
    painted(engine, "epsilon", compile=True)
    once = graphs_compiled()
    for file in ("swap-one.safetensors", "swap-two.safetensors"):
        assert_same(painted(engine, "epsilon", lora=file, compile=True), painted(engine, "epsilon", lora=file))
    assert graphs_compiled() == once


@pytest.mark.parametrize("name", ["epsilon", pytest.param("sd3", marks=pytest.mark.slow), "flux-dev"])
def test_fused_projections_give_what_diffusers_gives_with_them(
    name: str, zoo: Zoo, oracle: Oracle, engine: Engine
) -> None:
    source = name if name == "epsilon" else zoo(name)
    plain, ours = painted(engine, source), painted(engine, source, fuse=True)
    kind, scheduler = FUSING[name]
    call: Any = {"model": source, "height": SIZE, "width": SIZE, "num_inference_steps": STEPS, "guidance_scale": 3.5}
    call |= {"prompt": [PROMPT], "negative_prompt": None if name == "flux-dev" else [NEGATIVE]}
    pipeline = oracle.pipeline(source)
    network = getattr(pipeline, "transformer", None) or pipeline.unet
    network.fuse_qkv_projections()
    try:
        theirs = oracle.paint(kind, scheduler, **call)
    finally:
        network.unfuse_qkv_projections()
        for part in [*network.modules()]:
            for fused in FUSED.keys() & part._modules.keys():  # which UNets keep
                delattr(part, fused)
    assert_same(ours, theirs)
    assert numpy.array_equal(painted(engine, source), plain)


FUSING: dict[str, tuple[Any, str]] = {
    "epsilon": (diffusers.StableDiffusionPipeline, "model"),
    "sd3": (diffusers.StableDiffusion3Pipeline, "model"),
    "flux-dev": (diffusers.FluxPipeline, "model"),
}
"""diffusers' pipelines of models whose projections are fused."""


@pytest.mark.parametrize("name", ["epsilon", "flux-dev"])
def test_a_lora_acts_on_fused_projections(name: str, zoo: Zoo, models: Path, oracle: Oracle, engine: Engine) -> None:
    source = name if name == "epsilon" else zoo(name)
    pipeline = oracle.pipeline(source)
    part = "transformer" if hasattr(pipeline, "transformer") else "unet"
    changes = files.low_rank(getattr(pipeline, part), 5)
    files.save(files.peft(changes, f"{part}."), models / "projections.safetensors")
    lora = "projections.safetensors"
    plain, fused = painted(engine, source, lora=lora), painted(engine, source, lora=lora, fuse=True)
    assert_same(fused, plain)
    assert not numpy.array_equal(plain, painted(engine, source))
    assert_same(painted(engine, source, fuse=True), painted(engine, source))


def test_what_has_no_projections_to_fuse_and_what_is_packed_is_refused(zoo: Zoo, engine: Engine) -> None:
    with Graph() as graph:
        graph.output("model", Optimize(LoadCheckpoint(zoo("z-image")).model, fuse=True))
    assert [one.code for one in engine.check(graph).problems] == ["unsupported-by-model"]
    with Graph() as graph:
        checkpoint = LoadCheckpoint("epsilon", model_weights="int8")
        guide = CFGGuide(Optimize(checkpoint.model, fuse=True), TextEncode(checkpoint.text_encoder, PROMPT))
        graph.output("latent", KSampler(guide, EmptyLatent(SIZE, SIZE), steps=2))
    with refused("conflicting-inputs", "few bits"):
        engine.run(graph)


@pytest.mark.parametrize("name", ["epsilon", "flux-dev"])
def test_attention_in_slices_changes_rounding_alone(
    name: str, zoo: Zoo, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = name if name == "epsilon" else zoo(name)
    plain = painted(engine, source)
    monkeypatch.setattr(in_slices, "__defaults__", (4 * 100,))
    assert_same(painted(engine, source, attention="sliced"), plain)
    assert numpy.array_equal(painted(engine, source), plain)
