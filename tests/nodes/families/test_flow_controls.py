"""ControlNets for SD 3, FLUX.1 and Qwen-Image: pictures under one and under two, equal to diffusers' own pipelines.

All pairs: `pytest -m "slow or not slow" tests/nodes/families/test_flow_controls.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from PIL import Image as Pictures

from tests.nodes.conftest import read_pixels
from tests.nodes.oracle import NEGATIVE, PROMPT, SCALE, SEED, SIZE, Oracle, Pixels, assert_same, diffusers
from tests.refusals import names
from weft.engine import Engine, Graph
from weft.nodes import (
    ApplyControlNet,
    CFGGuide,
    EmptyLatent,
    ImageToMask,
    KSampler,
    LoadCheckpoint,
    LoadControlNet,
    LoadImage,
    SaveImage,
    TextEncode,
    VAEDecode,
)

STEPS = 2

PIPELINES = {"sd3": "StableDiffusion3", "sd35": "StableDiffusion3", "flux": "Flux", "qwen": "QwenImage"}

CALLS: Mapping[str, Mapping[str, float]] = {
    "weak, at the end": {"strength": 0.6, "start": 0.5},
    "full": {},
    "strong": {"strength": 1.4},
    "at the beginning": {"end": 0.5},
    "in between": {"start": 0.2, "end": 0.9, "steps": 8},
}

FIRST = [name if not index else pytest.param(name, marks=pytest.mark.slow) for index, name in enumerate(CALLS)]

CONTROLS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "edges": ("flux-edges", {}),
    "canny of several": ("flux-union", {"kind": "canny"}),
    "depth of several": ("flux-union", {"kind": "depth"}),
    "low quality of several": ("flux-union", {"kind": "low_quality"}),
    "XLabs'": ("flux-xlabs", {}),
}
"""Control networks for FLUX.1, and their settings."""

MODES = {"canny": 0, "depth": 2, "low_quality": 6}


def ours(
    engine: Engine,
    model: str,
    controls: Any,
    batch: int = 1,
    mask: str | None = None,
    source: str | None = None,
    **guidance: Any,
) -> Pixels:
    """What Weft paints under controls: the name of each, its picture and its settings."""
    steps = max([one.get("steps", STEPS) for _, _, one in controls], default=STEPS)
    with Graph() as graph:
        checkpoint = LoadCheckpoint(model)
        positive: Any = TextEncode(checkpoint.text_encoder, PROMPT)
        plain = model.startswith("flux") and not guidance
        negative: Any = None if plain else TextEncode(checkpoint.text_encoder, NEGATIVE)
        for net, picture, settings in controls:
            given = {name: one for name, one in settings.items() if name != "steps"}
            positive, negative = ApplyControlNet(
                positive,
                negative,
                LoadControlNet(net),
                LoadImage(picture),
                checkpoint.vae,
                ImageToMask(LoadImage(mask)) if mask else None,
                LoadImage(source) if source else None,
                **given,
            )
        guide = CFGGuide(checkpoint.model, positive, negative, scale=SCALE, **guidance)
        latent = KSampler(guide, EmptyLatent(SIZE, SIZE, batch), seed=SEED, steps=steps, sampler="model")
        SaveImage(VAEDecode(checkpoint.vae, latent))
    return read_pixels(engine.run(graph).paths)


def theirs(
    oracle: Oracle,
    models: Path,
    pictures: Path,
    model: str,
    controls: Any,
    batch: int = 1,
    mask: str | None = None,
    **guidance: Any,
) -> Pixels:
    """What diffusers' pipeline paints for it."""
    family = PIPELINES[model.partition("-")[0]]
    nets = [getattr(diffusers, CLASSES[family]).from_pretrained(models / net).float() for net, _, _ in controls]
    together = [settings for _, _, settings in controls]
    arguments: dict[str, list[Any]] = {
        "control_image": [Pictures.open(pictures / picture) for _, picture, _ in controls],
        "controlnet_conditioning_scale": [one.get("strength", 1.0) for one in together],
        "control_guidance_start": [one.get("start", 0.0) for one in together],
        "control_guidance_end": [one.get("end", 1.0) for one in together],
    }
    if mask:
        arguments["control_mask"] = [Pictures.open(pictures / mask)]
    if family == "Flux":
        arguments["control_mode"] = [MODES.get(one.get("kind", "")) for one in together]
    one, alone = len(nets) == 1, {name: given[0] for name, given in arguments.items()}
    # The pipeline would draw the picture's latents before the noise, from the same generator.
    noise = [torch.randn(1, 16, 8, 8, generator=torch.Generator().manual_seed(SEED + item)) for item in range(batch)]
    latents = torch.cat(noise)
    if family != "StableDiffusion3":
        latents = diffusers.FluxPipeline._pack_latents(latents, batch, 16, 8, 8)
    return oracle.paint(
        getattr(diffusers, f"{family}ControlNet{MASKING[family] if mask else ''}Pipeline"),
        "model",
        model=model,
        batch=batch,
        parts={"controlnet": nets[0] if one else nets, "vae": oracle.certain_vae(model)},
        num_inference_steps=together[0].get("steps", STEPS),
        width=SIZE,
        height=SIZE,
        latents=latents,
        **guidance,
        **(alone if one else arguments),
    )


MASKING = {"StableDiffusion3": "Inpainting", "QwenImage": "Inpaint"}

CLASSES = {
    "StableDiffusion3": "SD3ControlNetModel",
    "Flux": "FluxControlNetModel",
    "QwenImage": "QwenImageControlNetModel",
}


@pytest.mark.parametrize("name", FIRST)
@pytest.mark.parametrize(("model", "net"), [("sd3", "sd3-edges"), ("sd35", "sd35-edges"), ("sd35", "sd3-depth")])
def test_a_control_net_for_sd3(
    zoo: Any, models: Path, engine: Engine, oracle: Oracle, pictures: Path, model: str, net: str, name: str
) -> None:
    controls = [(zoo(net), "stripes.png", CALLS[name])]
    assert_same(ours(engine, zoo(model), controls), theirs(oracle, models, pictures, model, controls))


@pytest.mark.parametrize("name", FIRST)
@pytest.mark.parametrize(
    "control", [pytest.param(one, marks=[pytest.mark.slow] * ("low" in one or "canny" in one)) for one in CONTROLS]
)
@pytest.mark.parametrize("model", ["flux-dev", pytest.param("flux-schnell", marks=pytest.mark.slow)])
def test_a_control_net_for_flux(
    zoo: Any, models: Path, engine: Engine, oracle: Oracle, pictures: Path, model: str, control: str, name: str
) -> None:
    net, settings = CONTROLS[control]
    controls = [(zoo(net), "stripes.png", {**settings, **CALLS[name]})]
    assert_same(ours(engine, zoo(model), controls), theirs(oracle, models, pictures, model, controls))


@pytest.mark.parametrize("control", ["edges", pytest.param("depth of several", marks=pytest.mark.slow)])
def test_a_control_net_for_flux_with_a_negative_prompt(
    zoo: Any, models: Path, engine: Engine, oracle: Oracle, pictures: Path, control: str
) -> None:
    """What it adds for the positive prompt serves both predictions."""
    net, settings = CONTROLS[control]
    controls, guidance = [(zoo(net), "stripes.png", settings)], 3.0
    expected = theirs(oracle, models, pictures, zoo("flux-dev"), controls, true_cfg_scale=guidance)
    assert_same(ours(engine, "flux-dev", controls, true_scale=guidance), expected)


@pytest.mark.parametrize("batch", [1, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", FIRST)
def test_a_control_net_for_qwen_image(
    zoo: Any, models: Path, engine: Engine, oracle: Oracle, pictures: Path, name: str, batch: int
) -> None:
    controls = [(zoo("qwen-edges"), "stripes.png", CALLS[name])]
    expected = theirs(oracle, models, pictures, zoo("qwen-image"), controls, batch, true_cfg_scale=SCALE)
    assert_same(ours(engine, "qwen-image", controls, batch), expected)


@pytest.mark.parametrize("name", FIRST)
@pytest.mark.parametrize(("model", "net"), [("sd3", "sd3-masked"), ("qwen-image", "qwen-masked")])
def test_a_control_net_that_reads_a_mask(
    zoo: Any, models: Path, engine: Engine, oracle: Oracle, pictures: Path, model: str, net: str, name: str
) -> None:
    """The white half of the picture is replaced."""
    controls = [(zoo(net), "ramp.png", CALLS[name])]
    guidance: Any = {"true_cfg_scale": SCALE} if model == "qwen-image" else {}
    expected = theirs(oracle, models, pictures, zoo(model), controls, mask="stripes.png", **guidance)
    painted = ours(engine, model, controls, mask="stripes.png")
    assert_same(painted, expected)
    assert (painted != ours(engine, model, controls, mask="ramp.png")).any()


@pytest.mark.parametrize("batch", [1, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize("strength", [0.6, pytest.param(1.4, marks=pytest.mark.slow)])
@pytest.mark.parametrize("net", ["z-edges", "z-later-edges"])
def test_a_control_net_for_z_image(
    zoo: Any, engine: Engine, oracle: Oracle, models: Path, pictures: Path, net: str, strength: float, batch: int
) -> None:
    controls = [(zoo(net), "stripes.png", {"strength": strength})]
    painted = ours(engine, zoo("z-image"), controls, batch)
    theirs = oracle.paint(
        diffusers.ZImageControlNetPipeline,
        "model",
        model="z-image",
        batch=batch,
        parts={"controlnet": shared(oracle, models, net), "vae": oracle.certain_vae("z-image")},
        control_image=Pictures.open(pictures / "stripes.png"),
        controlnet_conditioning_scale=strength,
        guidance_scale=SCALE - 1,
        num_inference_steps=STEPS,
        width=SIZE,
        height=SIZE,
    )
    assert_same(painted, theirs)
    assert (painted != ours(engine, "z-image", [], batch)).any()


@pytest.mark.parametrize("batch", [1, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize("strength", [0.75, pytest.param(1.4, marks=pytest.mark.slow)])
@pytest.mark.parametrize("mask", ["stripes.png", pytest.param("ramp.png", marks=pytest.mark.slow)])
def test_a_control_net_for_z_image_that_inpaints(
    zoo: Any, engine: Engine, oracle: Oracle, models: Path, pictures: Path, mask: str, strength: float, batch: int
) -> None:
    """It reads what is replaced, under a mask, next to the picture that it follows."""
    net = "z-later-edges"
    controls = [(zoo(net), "stripes.png", {"strength": strength})]
    painted = ours(engine, zoo("z-image"), controls, batch, mask, "ramp.png")
    theirs = oracle.paint(
        diffusers.ZImageControlNetInpaintPipeline,
        "model",
        model="z-image",
        batch=batch,
        parts={"controlnet": shared(oracle, models, net), "vae": oracle.certain_vae("z-image")},
        image=Pictures.open(pictures / "ramp.png"),
        mask_image=[Pictures.open(pictures / mask)] * batch,
        control_image=Pictures.open(pictures / "stripes.png"),
        controlnet_conditioning_scale=strength,
        guidance_scale=SCALE - 1,
        num_inference_steps=STEPS,
        width=SIZE,
        height=SIZE,
    )
    assert_same(painted, theirs)
    assert (painted != ours(engine, "z-image", controls, batch)).any()


def shared(oracle: Oracle, models: Path, net: str) -> Any:
    """A ControlNet with the embeddings of the transformer, as its pipeline takes it."""
    alone = diffusers.ZImageControlNetModel.from_pretrained(models / net).float()
    return diffusers.ZImageControlNetModel.from_transformer(alone, oracle.pipeline("z-image").transformer)


@pytest.mark.slow
def test_two_control_nets_for_z_image_add_up(zoo: Any, engine: Engine) -> None:
    """Two at a part of the strength are one; one that acts in some steps alone changes less."""
    kinds: list[list[Mapping[str, float]]] = [
        [],
        [{}],
        [{"strength": 0.4}, {"strength": 0.6}],
        [{"start": 0.5}],
    ]
    plain, full, both, late = (
        ours(engine, zoo("z-image"), [(zoo("z-edges"), "stripes.png", one) for one in settings]).astype(int)
        for settings in kinds
    )
    assert numpy.abs(both - full).max() <= 1
    assert 0 < numpy.abs(late - plain).mean() < numpy.abs(full - plain).mean()


PAIRS: Mapping[str, list[tuple[str, str, Mapping[str, Any]]]] = {
    "sd3": [("sd3-edges", "stripes.png", {"strength": 0.8}), ("sd3-edges", "ramp.png", {"start": 0.5})],
    "sd35": [("sd35-edges", "ramp.png", {"end": 0.5}), ("sd35-edges", "stripes.png", {"strength": 0.5})],
    "flux-dev": [("flux-edges", "stripes.png", {"strength": 0.7}), ("flux-edges", "ramp.png", {"strength": 0.4})],
    "flux-schnell": [
        ("flux-union", "stripes.png", {"kind": "canny", "strength": 0.7}),
        ("flux-union", "ramp.png", {"kind": "depth", "end": 0.5}),
    ],
}
"""Two control networks of one kind: diffusers' pipelines read the settings of the first for all."""


@pytest.mark.parametrize("batch", [1, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize("model", PAIRS)
def test_two_control_nets(
    zoo: Any, models: Path, engine: Engine, oracle: Oracle, pictures: Path, model: str, batch: int
) -> None:
    controls = [(zoo(net), picture, settings) for net, picture, settings in PAIRS[model]]
    assert_same(ours(engine, zoo(model), controls, batch), theirs(oracle, models, pictures, model, controls, batch))


@pytest.mark.parametrize(
    ("model", "net"),
    [
        ("sd3", "sd3-edges"),
        ("flux-dev", "flux-edges"),
        *(
            pytest.param(model, net, marks=pytest.mark.slow)
            for model, net in (("sd35", "sd35-edges"), ("flux-dev", "flux-xlabs"))
        ),
    ],
)
def test_a_control_net_changes_the_picture(zoo: Any, engine: Engine, model: str, net: str) -> None:
    plain = ours(engine, zoo(model), [])
    assert (ours(engine, zoo(model), [(zoo(net), "stripes.png", {"strength": 0.0})]) == plain).all()
    assert numpy.abs(ours(engine, zoo(model), [(zoo(net), "stripes.png", {})]).astype(int) - plain).max() > 5


@pytest.mark.slow
def test_nets_of_other_depths_add_up(zoo: Any, engine: Engine) -> None:
    """Where one adds to fewer blocks, nothing of the other is lost."""
    shallow: Any = (zoo("flux-edges"), "ramp.png", {"strength": 0.0})
    deep: Any = (zoo("flux-xlabs"), "stripes.png", {})
    model = zoo("flux-schnell")
    alone = ours(engine, model, [deep])
    assert numpy.abs(ours(engine, model, [shallow, deep]).astype(int) - alone).max() <= 1
    assert numpy.abs(ours(engine, model, [deep, shallow]).astype(int) - alone).max() <= 1


@pytest.mark.slow
def test_edges_of_stability_ai_are_read_at_other_levels(zoo: Any, engine: Engine) -> None:
    canny, plain = ({"kind": kind} if kind else {} for kind in ("canny", None))
    first, second = (ours(engine, zoo("sd35"), [(zoo("sd35-edges"), "stripes.png", one)]) for one in (canny, plain))
    assert (first != second).any()


def problems(
    engine: Engine,
    model: str,
    net: str,
    *,
    vae: bool = True,
    mask: bool = False,
    source: bool = False,
    **settings: Any,
) -> list[Any]:
    with Graph() as graph:
        checkpoint = LoadCheckpoint(model)
        prompt = TextEncode(checkpoint.text_encoder, PROMPT)
        picture = LoadImage("ramp.png")
        if vae:
            settings |= {"vae": checkpoint.vae}
        if mask:
            settings |= {"mask": ImageToMask(picture)}
        if source:
            settings |= {"source": picture}
        positive, _ = ApplyControlNet(prompt, None, LoadControlNet(net), picture, **settings)
        guide = CFGGuide(checkpoint.model, positive, scale=1.0)
        SaveImage(VAEDecode(checkpoint.vae, KSampler(guide, EmptyLatent(SIZE, SIZE), sampler="model")))
    return list(engine.check(graph).problems)


@pytest.mark.parametrize(
    ("model", "net", "given", "found", "named"),
    [
        ("flux-dev", "flux-edges", {"vae": False}, ("missing-input", "vae"), ["load_control_net"]),
        ("sd3", "sd3-edges", {"vae": False}, ("missing-input", "vae"), ["load_control_net"]),
        ("flux-dev", "flux-union", {}, ("missing-input", "kind"), ["canny", "load_control_net"]),
        ("flux-dev", "flux-union", {"kind": "normal"}, ("unsupported-by-model", "kind"), ["normal", "depth"]),
        ("flux-dev", "flux-edges", {"kind": "canny"}, ("unsupported-by-model", "kind"), ["canny"]),
        ("sd3", "sd35-wide", {}, ("wrong-control-net", "guide"), ["channels", "load_control_net", "load_checkpoint"]),
        ("z-image", "z-edges", {"vae": False}, ("missing-input", "vae"), ["load_control_net"]),
        ("z-image", "z-wide-edges", {}, ("wrong-control-net", "guide"), ["dim", 128, 64, "load_control_net"]),
        ("z-image", "z-three-layers", {}, ("wrong-control-net", "guide"), [28, 2, "load_control_net"]),
        ("z-image", "z-later-edges", {"mask": True}, ("missing-input", "source"), ["load_control_net"]),
        ("z-image", "z-later-edges", {"source": True}, ("missing-input", "source"), ["load_control_net"]),
        ("z-image", "z-edges", {"mask": True}, ("unsupported-by-model", "mask"), ["load_control_net"]),
        ("sd3", "sd3-edges", {"source": True}, ("unsupported-by-model", "source"), ["load_control_net"]),
        ("sd3", "sd3-masked", {}, ("missing-input", "mask"), ["load_control_net"]),
        ("flux-dev", "flux-wide", {}, ("wrong-control-net", "guide"), ["channels", 128, 64, "load_control_net"]),
    ],
)
def test_what_does_not_fit_is_a_problem_of_the_graph(
    zoo: Any, engine: Engine, model: str, net: str, given: Any, found: tuple[str, str], named: list[Any]
) -> None:
    (problem,) = problems(engine, zoo(model), zoo(net), **given)
    assert (problem.code, problem.input) == found
    assert problem.hint and names(problem, *named)


def test_a_net_without_a_hint_of_latents_needs_no_vae(zoo: Any, engine: Engine) -> None:
    assert problems(engine, zoo("flux-dev"), zoo("flux-xlabs"), vae=False) == []


@pytest.mark.parametrize(("model", "net"), [("flux-dev", "sd3-edges"), ("sd3", "flux-edges"), ("sd3", "edges")])
def test_a_net_of_another_family_is_a_problem_of_the_graph(zoo: Any, engine: Engine, model: str, net: str) -> None:
    found = problems(engine, zoo(model), net if net == "edges" else zoo(net))
    assert "family-mismatch" in {one.code for one in found}
