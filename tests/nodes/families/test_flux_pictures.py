"""FLUX.1 with a picture: Fill, Canny and Depth, Kontext; equal to diffusers' own pipelines.

All pairs: `pytest -m "slow or not slow" tests/nodes/families/test_flux_pictures.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image as Pictures
from safetensors.torch import save_file

from tests.nodes import layouts
from tests.nodes.conftest import read_pixels
from tests.nodes.oracle import PROMPT, SEED, SIZE, Oracle, Pixels, assert_same, diffusers
from tests.refusals import names, refused
from weft.engine import Engine, Graph, Link
from weft.nodes import (
    ApplyControlNet,
    CFGGuide,
    ControlGuide,
    CropImage,
    EmptyLatent,
    ImageToMask,
    InpaintGuide,
    KSampler,
    LoadCheckpoint,
    LoadControlNet,
    LoadDiffusionModel,
    LoadImage,
    ReferenceGuide,
    SaveImage,
    TextEncode,
    VAEDecode,
)

CALLS: Mapping[str, Mapping[str, Any]] = {
    "two steps": {},
    "four steps": {"steps": 4},
    "a high scale": {"scale": 30.0},
    "two at once": {"batch": 2},
}

DEFAULTS: dict[str, Any] = {"steps": 2, "scale": 3.5, "batch": 1}

FIRST = [name if not index else pytest.param(name, marks=pytest.mark.slow) for index, name in enumerate(CALLS)]

Guided = Callable[[Any, Any], Any]
"""Puts a guide with a picture after one without, given the checkpoint."""


def filled(guide: Any, checkpoint: Any) -> Any:
    return InpaintGuide(guide, checkpoint.vae, LoadImage("ramp.png"), ImageToMask(LoadImage("stripes.png")))


def controlled(guide: Any, checkpoint: Any) -> Any:
    return ControlGuide(guide, checkpoint.vae, LoadImage("stripes.png"))


def referred(guide: Any, checkpoint: Any) -> Any:
    return ReferenceGuide(guide, checkpoint.vae, LoadImage("ramp.png"))


def graph_of(model: str, *around: Guided, changed: Callable[[Any], Any] = lambda model: model, **asked: Any) -> Graph:
    """A graph that paints with guides around that of the prompt, by a model that may be changed."""
    call = {**DEFAULTS, **asked}
    with Graph(outputs={"latent": Link("k_sampler")}) as graph:
        checkpoint = LoadCheckpoint(model)
        prompt: Any = TextEncode(checkpoint.text_encoder, PROMPT)
        guide: Any = CFGGuide(changed(checkpoint.model), prompt, scale=call["scale"])
        seen = reduce(lambda inner, outer: outer(inner, checkpoint), around, guide)
        start = EmptyLatent(SIZE, SIZE, call["batch"])
        latent = KSampler(seen, start, seed=SEED, steps=call["steps"], sampler="model")
        SaveImage(VAEDecode(checkpoint.vae, latent))
    return graph


def ours(engine: Engine, model: str, *around: Guided, **asked: Any) -> Pixels:
    return read_pixels(engine.run(graph_of(model, *around, **asked)).paths)


def theirs(oracle: Oracle, kind: str, model: str, asked: Mapping[str, Any], **given: Any) -> Pixels:
    """What diffusers' pipeline paints, from the noise that it would draw if it drew no picture's latents before."""
    call = {**DEFAULTS, **asked}
    batch = call["batch"]
    noise = [torch.randn(1, 16, 8, 8, generator=torch.Generator().manual_seed(SEED + item)) for item in range(batch)]
    return oracle.run(
        getattr(diffusers, kind),
        "model",
        model=model,
        batch=batch,
        parts={"vae": oracle.certain_vae(model)},
        prompt=[PROMPT] * batch,
        guidance_scale=call["scale"],
        num_inference_steps=call["steps"],
        width=SIZE,
        height=SIZE,
        latents=diffusers.FluxPipeline._pack_latents(torch.cat(noise), batch, 16, 8, 8),
        **given,
    )


@pytest.mark.parametrize("name", FIRST)
def test_fill(zoo: Any, engine: Engine, oracle: Oracle, pictures: Path, name: str) -> None:
    image, mask = (Pictures.open(pictures / f"{one}.png") for one in ("ramp", "stripes"))
    expected = theirs(oracle, "FluxFillPipeline", zoo("flux-fill"), CALLS[name], image=image, mask_image=mask)
    assert_same(ours(engine, "flux-fill", filled, **CALLS[name]), expected)


@pytest.mark.parametrize("name", FIRST)
def test_control(zoo: Any, engine: Engine, oracle: Oracle, pictures: Path, name: str) -> None:
    image = Pictures.open(pictures / "stripes.png")
    expected = theirs(oracle, "FluxControlPipeline", zoo("flux-canny"), CALLS[name], control_image=image)
    assert_same(ours(engine, "flux-canny", controlled, **CALLS[name]), expected)


@pytest.mark.parametrize("name", FIRST)
def test_kontext(zoo: Any, engine: Engine, oracle: Oracle, pictures: Path, name: str) -> None:
    own = {"image": Pictures.open(pictures / "ramp.png"), "max_area": SIZE**2, "_auto_resize": False}
    expected = theirs(oracle, "FluxKontextPipeline", zoo("flux-dev"), CALLS[name], **own)
    assert_same(ours(engine, "flux-dev", referred, **CALLS[name]), expected)


def test_latents_refer_to_a_picture(zoo: Any, engine: Engine, oracle: Oracle, pictures: Path) -> None:
    """A picture moves the pixels of the tiny model by three levels alone, so its latents are compared too."""
    own = {"image": Pictures.open(pictures / "ramp.png"), "max_area": SIZE**2, "_auto_resize": False}
    packed = theirs(oracle, "FluxKontextPipeline", zoo("flux-dev"), {}, **own, output_type="latent")
    expected = diffusers.FluxPipeline._unpack_latents(packed, SIZE, SIZE, 8)
    found, plain = (engine.run(graph_of("flux-dev", *around)).outputs["latent"].samples for around in ((referred,), ()))
    assert (found - expected).abs().max() < 1e-4 < 1e-2 < (found - plain).abs().max()


def test_places_of_a_picture_to_refer_to_go_on_along_the_diagonal(
    zoo: Any, engine: Engine, oracle: Oracle, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """diffusers numbers it; here its transformer is given the places of UNO's paper instead."""
    transformer = oracle.pipeline(zoo("flux-dev")).transformer
    forward = transformer.forward

    def placed(*args: Any, img_ids: Any, **given: Any) -> Any:
        side = SIZE // 16
        moved = img_ids.clone()
        moved[img_ids[:, 0] == 1] += torch.tensor([-1, side, side]).to(moved)
        return forward(*args, img_ids=moved, **given)

    def diagonal(guide: Any, checkpoint: Any) -> Any:
        return ReferenceGuide(guide, checkpoint.vae, LoadImage("ramp.png"), places="diagonal")

    monkeypatch.setattr(transformer, "forward", placed)
    own = {"image": Pictures.open(pictures / "ramp.png"), "max_area": SIZE**2, "_auto_resize": False}
    packed = theirs(oracle, "FluxKontextPipeline", "flux-dev", {}, **own, output_type="latent")
    expected = diffusers.FluxPipeline._unpack_latents(packed, SIZE, SIZE, 8)
    found, numbered = (
        engine.run(graph_of("flux-dev", around)).outputs["latent"].samples for around in (diagonal, referred)
    )
    assert (found - expected).abs().max() < 1e-4 < 1e-3 < (found - numbered).abs().max()
    with refused("conflicting-inputs"):
        engine.run(graph_of("flux-dev", diagonal, referred))


def test_a_picture_to_refer_to_goes_with_a_control_net(zoo: Any, engine: Engine) -> None:
    """What the ControlNet adds is for the tokens of the latents alone."""
    model, net = zoo("flux-dev"), zoo("flux-edges")

    def steered(strength: float) -> Pixels:
        with Graph() as graph:
            checkpoint = LoadCheckpoint(model)
            prompt = TextEncode(checkpoint.text_encoder, PROMPT)
            controlled = ApplyControlNet(
                prompt, None, LoadControlNet(net), LoadImage("stripes.png"), checkpoint.vae, strength=strength
            )
            guide = referred(CFGGuide(checkpoint.model, controlled.positive, scale=3.5), checkpoint)
            latent = KSampler(guide, EmptyLatent(SIZE, SIZE), seed=SEED, steps=2, sampler="model")
            SaveImage(VAEDecode(checkpoint.vae, latent))
        return read_pixels(engine.run(graph).paths)

    assert (steered(0.0) == ours(engine, model, referred)).all()
    assert (steered(1.0) != steered(0.0)).any()


@pytest.mark.parametrize(
    ("model", "around", "hint"),
    [
        ("flux-fill", (), "InpaintGuide"),
        ("flux-fill", (controlled,), "InpaintGuide"),
        ("flux-canny", (), "ControlGuide"),
        ("flux-canny", (filled,), "ControlGuide"),
        ("flux-dev", (controlled,), "CFGGuide"),
        ("inpaint", (controlled,), "InpaintGuide"),
        ("flux-canny", (referred,), "ControlGuide"),
    ],
)
def test_a_guide_of_another_kind_is_a_problem_of_the_graph(
    zoo: Any, engine: Engine, model: str, around: tuple[Guided, ...], hint: str
) -> None:
    problems = engine.check(graph_of(zoo(model), *around)).problems
    assert [(one.code, one.node, one.input) for one in problems] == [("wrong-guide", "k_sampler", "guide")]
    assert names(problems[0], "load_checkpoint") and hint in problems[0].hint


@pytest.mark.parametrize("around", [controlled, referred])
def test_a_picture_of_half_a_token_is_a_problem_of_the_graph(zoo: Any, engine: Engine, around: Guided) -> None:
    def small(guide: Any, checkpoint: Any) -> Any:
        cut = CropImage(LoadImage("ramp.png"), width=40, height=64)
        node = ControlGuide if around is controlled else ReferenceGuide
        return node(guide, checkpoint.vae, cut)

    model = zoo("flux-canny" if around is controlled else "flux-dev")
    (problem,) = (one for one in engine.check(graph_of(model, small)).problems if one.input == "image")
    assert problem.code == "wrong-size" and names(problem, "40 x 64", 16)


@pytest.mark.parametrize(("model", "node"), [("flux-canny", ControlGuide), ("flux-dev", ReferenceGuide)])
def test_a_picture_next_to_the_latents_is_as_large_as_they_are(
    zoo: Any, engine: Engine, model: str, node: Callable[..., Any]
) -> None:
    """One that is referred to may have any size."""

    def wide(guide: Any, checkpoint: Any) -> Any:
        return node(guide, checkpoint.vae, CropImage(LoadImage("ramp.png"), width=64, height=32))

    codes = [one.code for one in engine.check(graph_of(zoo(model), wide)).problems]
    assert codes == (["size-mismatch"] if node is ControlGuide else [])


@pytest.mark.parametrize(
    ("model", "around"), [("flux-fill", filled), pytest.param("flux-canny", controlled, marks=pytest.mark.slow)]
)
def test_the_file_of_black_forest_labs_paints_what_the_folder_paints(
    zoo: Any, models: Path, engine: Engine, model: str, around: Guided
) -> None:
    """Such a file has the transformer alone."""
    folder = models / zoo(model)
    named = layouts.transformer(folder, layouts.FLUX, layouts.FLUX_JOINED, (r"^norm_out\.",))
    prefix = "model.diffusion_model."
    save_file({name.removeprefix(prefix): one for name, one in named.items()}, models / f"{model}-bfl.safetensors")
    with Graph() as graph:
        checkpoint, alone = LoadCheckpoint(model), LoadDiffusionModel(f"{model}-bfl.safetensors")
        guide = CFGGuide(alone, TextEncode(checkpoint.text_encoder, PROMPT), scale=DEFAULTS["scale"])
        start = EmptyLatent(SIZE, SIZE)
        latent = KSampler(around(guide, checkpoint), start, seed=SEED, steps=DEFAULTS["steps"], sampler="model")
        SaveImage(VAEDecode(checkpoint.vae, latent))
    assert (read_pixels(engine.run(graph).paths) == ours(engine, model, around)).all()


@pytest.mark.parametrize("model", ["sd3", "epsilon"])
def test_a_model_that_reads_no_picture_to_refer_to(zoo: Any, engine: Engine, model: str) -> None:
    (problem,) = engine.check(graph_of(model if model == "epsilon" else zoo(model), referred)).problems
    assert (problem.code, problem.input) == ("unsupported-by-model", "guide")
    assert names(problem, "reference_guide", "load_checkpoint")
