"""T2I-Adapters for SD 1.x and SDXL, and SDXL's ControlNet of several kinds: equal to diffusers' own pipelines.

All pairs: `pytest -m "slow or not slow" tests/nodes/families/test_adapters.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy
import pytest
from PIL import Image as Pictures

from tests.nodes.conftest import controlled, read_pixels
from tests.nodes.oracle import NEGATIVE, PROMPT, SCALE, SEED, SIZE, Oracle, Pixels, assert_same, diffusers
from tests.refusals import names
from weft.engine import Engine, Graph
from weft.nodes import CFGGuide, EmptyLatent, KSampler, LoadCheckpoint, SaveImage, TextEncode, VAEDecode

Controls = Sequence[tuple[str, str, Mapping[str, Any]]]
"""The name of each control network, its picture and its settings."""


def graph_of(model: str, controls: Controls, *, batch: int = 1, size: int = SIZE, **asked: Any) -> Graph:
    sampling = {"seed": SEED, "steps": 2, "sampler": "model", **asked}
    with Graph() as graph:
        checkpoint = LoadCheckpoint(model)
        positive, negative = (TextEncode(checkpoint.text_encoder, text) for text in (PROMPT, NEGATIVE))
        for net, picture, settings in controls:
            positive, negative = controlled(positive, negative, net, f"{picture}.png", **settings)
        guide = CFGGuide(checkpoint.model, positive, negative, scale=SCALE)
        latent = KSampler(guide, EmptyLatent(size, size, batch), **sampling)
        SaveImage(VAEDecode(checkpoint.vae, latent))
    return graph


def ours(engine: Engine, model: str, controls: Controls, **asked: Any) -> Pixels:
    return read_pixels(engine.run(graph_of(model, controls, **asked)).paths)


CALLS: Mapping[str, Mapping[str, Any]] = {
    "weak": {"strength": 0.6},
    "full": {},
    "strong": {"strength": 1.5, "sampler": "euler"},
    "two at once": {"batch": 2},
    "eight steps": {"steps": 8},
}
FIRST = [name if not index else pytest.param(name, marks=pytest.mark.slow) for index, name in enumerate(CALLS)]

ADAPTERS = {"sd1-adapter": "clip", "sd1-light-adapter": "clip", "sdxl-adapter": "sdxl"}
"""T2I-Adapters, with the model for each."""

PIPELINES = {"clip": "StableDiffusionAdapterPipeline", "sdxl": "StableDiffusionXLAdapterPipeline"}


def adapted(
    oracle: Oracle, folder: Path, model: str, nets: Sequence[Any], asked: Mapping[str, Any], **given: Any
) -> Pixels:
    """What diffusers' pipeline paints with adapters."""
    modes = ["L" if net.config.in_channels == 1 else "RGB" for net in nets]
    shown = [Pictures.open(folder / name).convert(mode) for name, mode in zip(PICTURES, modes, strict=False)]
    batch = asked.get("batch", 1)
    return oracle.paint(
        getattr(diffusers, PIPELINES[model]),
        asked.get("sampler", "model"),
        model=model,
        batch=batch,
        parts={"adapter": nets[0] if len(nets) == 1 else diffusers.MultiAdapter(nets)},
        image=shown[:1] * batch if len(nets) == 1 else shown,
        num_inference_steps=asked.get("steps", 2),
        height=SIZE,
        width=SIZE,
        **given,
    )


PICTURES = ("stripes.png", "ramp.png")


def loaded(models: Path, *nets: str) -> list[Any]:
    return [diffusers.T2IAdapter.from_pretrained(models / net).float() for net in nets]


def split(call: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a call asks of the control, and of the sampling."""
    own = {name: one for name, one in call.items() if name in ("strength", "start", "end", "kind")}
    return own, {name: one for name, one in call.items() if name not in own}


@pytest.mark.parametrize("name", FIRST)
@pytest.mark.parametrize("net", ADAPTERS)
def test_an_adapter(
    zoo: Any, models: Path, engine: Engine, oracle: Oracle, pictures: Path, net: str, name: str
) -> None:
    model = ADAPTERS[net]
    own, asked = split(CALLS[name])
    zoo(model)
    expected = adapted(
        oracle,
        pictures,
        model,
        loaded(models, zoo(net)),
        asked,
        adapter_conditioning_scale=own.get("strength", 1.0),
    )
    assert_same(ours(engine, model, [(net, "stripes", own)], **asked), expected)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("sd1-adapter", "sd1-adapter"),
        ("sdxl-adapter", "sdxl-adapter"),
        pytest.param("sd1-light-adapter", "sd1-light-adapter", marks=pytest.mark.slow),
    ],
)
def test_two_adapters(
    zoo: Any, models: Path, engine: Engine, oracle: Oracle, pictures: Path, first: str, second: str
) -> None:
    model = zoo(ADAPTERS[first])
    nets = loaded(models, zoo(first), zoo(second))
    expected = adapted(oracle, pictures, model, nets, {}, adapter_conditioning_scale=[0.7, 0.4])
    controls = [(first, "stripes", {"strength": 0.7}), (second, "ramp", {"strength": 0.4})]
    assert_same(ours(engine, model, controls), expected)


@pytest.mark.parametrize("share", [0.5, pytest.param(0.3, marks=pytest.mark.slow)])
def test_an_adapter_at_the_beginning(
    zoo: Any, models: Path, engine: Engine, oracle: Oracle, pictures: Path, share: float
) -> None:
    nets = loaded(models, zoo("sdxl-adapter"))
    expected = adapted(oracle, pictures, zoo("sdxl"), nets, {"steps": 4}, adapter_conditioning_factor=share)
    assert_same(ours(engine, "sdxl", [("sdxl-adapter", "stripes", {"end": share})], steps=4), expected)


UNIONS: Mapping[str, list[dict[str, Any]]] = {
    "one kind": [{"kind": "canny", "strength": 0.7}],
    "two kinds": [{"kind": "pose", "strength": 0.7}, {"kind": "depth", "strength": 0.4}],
    "at the end": [{"kind": "tile", "start": 0.5}],
    "three kinds": [{"kind": "segmentation"}, {"kind": "normal", "strength": 0.5}, {"kind": "soft_edge"}],
    "two kinds at the beginning": [{"kind": "canny", "end": 0.5}, {"kind": "repaint", "end": 0.5}],
}

NUMBERS = {"pose": 0, "depth": 1, "soft_edge": 2, "canny": 3, "normal": 4, "segmentation": 5, "tile": 6, "repaint": 7}


@pytest.mark.parametrize("batch", [1, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", [pytest.param(one, marks=[pytest.mark.slow] * (one != "two kinds")) for one in UNIONS])
def test_a_control_net_of_several_kinds(
    zoo: Any, models: Path, engine: Engine, oracle: Oracle, pictures: Path, name: str, batch: int
) -> None:
    """Pictures of several kinds go through the network at once."""
    together, steps = UNIONS[name], 4
    net = diffusers.ControlNetUnionModel.from_pretrained(models / zoo("sdxl-union")).float()
    shown = (*PICTURES, "stripes.png")[: len(together)]
    timed: dict[str, Any] = {
        "control_guidance_start": [one.get("start", 0.0) for one in together],
        "control_guidance_end": [one.get("end", 1.0) for one in together],
    }
    if name == "two kinds at the beginning":  # with two kinds the pipeline goes on after the end, at strength 0
        timed = {}
        steps = 2
    expected = oracle.paint(
        diffusers.StableDiffusionXLControlNetUnionPipeline,
        "model",
        model=zoo("sdxl"),
        batch=batch,
        parts={"controlnet": net},
        control_image=[Pictures.open(pictures / one) for one in shown],
        control_mode=[NUMBERS[one["kind"]] for one in together],
        controlnet_conditioning_scale=[one.get("strength", 1.0) for one in together],
        num_inference_steps=steps,
        height=SIZE,
        width=SIZE,
        **timed,
    )
    given = [{key: one[key] for key in one if key != "end"} for one in together] if not timed else together
    controls = [("sdxl-union", shown[index].removesuffix(".png"), one) for index, one in enumerate(given)]
    assert_same(ours(engine, "sdxl", controls, steps=steps, batch=batch), expected)


@pytest.mark.parametrize(
    ("model", "net", "settings"),
    [
        ("clip", "sd1-adapter", {}),
        ("sdxl", "sdxl-union", {"kind": "tile"}),
        *(
            pytest.param(model, net, {}, marks=pytest.mark.slow)
            for model, net in (("clip", "sd1-light-adapter"), ("sdxl", "sdxl-adapter"))
        ),
    ],
)
def test_a_control_network_changes_the_picture(
    zoo: Any, engine: Engine, model: str, net: str, settings: Mapping[str, Any]
) -> None:
    plain = ours(engine, zoo(model), [])
    assert (ours(engine, model, [(zoo(net), "stripes", {**settings, "strength": 0.0})]) == plain).all()
    assert numpy.abs(ours(engine, model, [(net, "stripes", settings)]).astype(int) - plain).max() > 3


@pytest.mark.slow
def test_an_adapter_and_a_control_net_add_up(zoo: Any, engine: Engine) -> None:
    net: Any = ("edges", "stripes", {})
    adapter: Any = (zoo("sd1-adapter"), "stripes", {})
    zoo("clip")
    both = ours(engine, "clip", [net, adapter])
    assert all((both != ours(engine, "clip", [one])).any() for one in (net, adapter))
    assert (both == ours(engine, "clip", [adapter, net])).all()


def test_pictures_of_several_kinds_may_act_at_different_steps(zoo: Any, engine: Engine) -> None:
    """Each step fuses those that act then."""
    first, second = ({"kind": "canny", "end": 0.5}, {"kind": "depth", "start": 0.5})
    model, net = zoo("sdxl"), zoo("sdxl-union")
    both = ours(engine, model, [(net, "stripes", first), (net, "ramp", second)])
    alone = ours(engine, model, [(net, "stripes", first)])
    assert (both != alone).any()


@pytest.mark.parametrize(
    ("model", "net", "settings", "found", "named"),
    [
        ("clip", "sd1-wide-adapter", {}, ("wrong-control-net", "guide"), ["channels", "load_control_net"]),
        ("sdxl", "sdxl-union", {}, ("missing-input", "kind"), ["canny", "load_control_net"]),
        ("sdxl", "sdxl-union", {"kind": "blur"}, ("unsupported-by-model", "kind"), ["blur", "repaint"]),
        ("clip", "sd1-adapter", {"kind": "canny"}, ("unsupported-by-model", "kind"), ["canny"]),
    ],
)
def test_what_does_not_fit_is_a_problem_of_the_graph(
    zoo: Any, engine: Engine, model: str, net: str, settings: Any, found: tuple[str, str], named: list[str]
) -> None:
    zoo(model)
    (problem,) = engine.check(graph_of(model, [(zoo(net), "stripes", settings)])).problems
    assert (problem.code, problem.input) == found
    assert problem.hint and names(problem, *named)


@pytest.mark.parametrize(("model", "net"), [("sdxl", "sd1-adapter"), ("clip", "sdxl-adapter"), ("sd3", "sd1-adapter")])
def test_an_adapter_of_another_family_is_a_problem_of_the_graph(zoo: Any, engine: Engine, model: str, net: str) -> None:
    zoo(model)
    problems = engine.check(graph_of(model, [(zoo(net), "stripes", {})])).problems
    assert "family-mismatch" in {one.code for one in problems}


def test_a_size_that_an_adapter_does_not_take_is_a_problem_of_the_graph(zoo: Any, engine: Engine) -> None:
    zoo("sdxl")
    (problem,) = engine.check(graph_of("sdxl", [(zoo("sdxl-adapter"), "stripes", {})], size=72)).problems
    assert (problem.code, problem.input) == ("wrong-size", "latent")
    assert names(problem, 72, 16, "load_control_net")
