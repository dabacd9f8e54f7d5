"""No step of sampling makes the host wait for its device, outside of the network and within it, by any sampler.

Every sampler, family and way of steering, with a table of the waits and launches of a step:
`pytest -m "slow or not slow" -s tests/device/test_steps.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.device.device_pictures import EMBEDDED, PICTURES, SIDE, thinned
from tests.device.pretended import PretendedDevices
from tests.device.steps import StepCost, cost_of_a_step
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
    MakeSigmas,
    PerturbedAttention,
    ProjectedGuidance,
    ScaleImage,
    SetNoiseMask,
    TextEncode,
    VAEEncode,
)
from weft.nodes.sampling.samplers import SAMPLERS, SamplerName
from weft.nodes.sampling.sigma_samplers import SIGMA_SAMPLERS

Cost = Callable[..., StepCost]

Steered = Callable[[Any, Any, Callable[[str], str]], Any]
"""A guide of a checkpoint's, steered; given what makes checkpoints by name."""

SOLVED_ON_THE_DEVICE = {"unipc": 7}
"""The samplers whose class in diffusers waits: UniPC solves equations on the device, made of numbers of the host."""


@pytest.fixture
def cost(request: pytest.FixtureRequest, tmp_path: Path) -> Cost:
    """What a step costs on `cuda:0`. The precision changes no count, and half of it is slow on a CPU."""

    def of(model: str, sampler: SamplerName, steered: Steered | None = None, **sampling: Any) -> StepCost:
        masked, sigmas = sampling.pop("masked", False), sampling.pop("sigmas", False)
        side = sampling.pop("side", SIDE // 2 if model == EMBEDDED else SIDE)
        text, folders = sampling.pop("text", "a red house"), dict[str, Any](inputs=[PICTURES], output=tmp_path)
        made = (lambda name: name) if model == EMBEDDED else request.getfixturevalue("zoo")
        if model != EMBEDDED:
            folders["models"] = [request.getfixturevalue("models")]

        def graph_of(steps: int) -> Graph:
            with Graph() as graph:
                checkpoint = LoadCheckpoint(made(model))
                guide = CFGGuide(checkpoint.model, TextEncode(checkpoint.text_encoder, text), scale=4.0)
                guide = steered(checkpoint, guide, made) if steered else guide
                latent: Any = EmptyLatent(side, side, 2)
                if masked:
                    picture = ScaleImage(LoadImage("lake.png"), side, side)
                    latent = SetNoiseMask(VAEEncode(checkpoint.vae, picture), ImageToMask(picture))
                levels = {"sigmas": MakeSigmas(checkpoint.model, latent, steps=steps)} if sigmas else {"steps": steps}
                graph.output("latent", KSampler(guide, latent, **levels, sampler=sampler, **sampling))
            return graph

        with (
            PretendedDevices("cuda") as devices,
            Engine(store=None, device="cuda:0", precision="float32", **folders) as engine,
        ):
            engine.run(graph_of(2))  # what is loaded stays
            found = cost_of_a_step(devices, lambda steps: engine.run(graph_of(steps)))
        shown = f"{model} {sampler}{' over sigmas' if sigmas else ''}"
        print(f"\n{shown:36} waits {found.waits:4.1f}  launches {found.launches:6.1f}  {found.kinds or ''}", end="")
        return found

    return of


@pytest.mark.parametrize("sampler", thinned(SAMPLERS, ("ddpm",)))
def test_samplers_of_schedules(cost: Cost, sampler: SamplerName) -> None:
    found = cost(EMBEDDED, sampler)
    assert (found.waits, found.network_waits) == (SOLVED_ON_THE_DEVICE.get(sampler, 0), 0)


@pytest.mark.parametrize("sampler", thinned(SIGMA_SAMPLERS, ()))
def test_samplers_over_sigmas(cost: Cost, sampler: SamplerName) -> None:
    found = cost(EMBEDDED, sampler, sigmas=True)
    assert (found.waits, found.network_waits) == (0, 0)


FLOWS = ("sd3", "sd35", "flux-dev", "flux-schnell", "z-image", "qwen-image")

WITH_HEUN = ("sd3", "sd35")
"""Heun's class in diffusers spaces no steps as the others ask."""


@pytest.mark.slow
@pytest.mark.parametrize("sigmas", [False, True])
@pytest.mark.parametrize("model", FLOWS)
def test_samplers_of_flows(cost: Cost, model: str, sigmas: bool) -> None:
    """All samplers of a family in one test, which load its checkpoint once."""
    names = [*SIGMA_SAMPLERS] if sigmas else [name for name, one in SAMPLERS.items() if "flow" in one.solvers]
    for sampler in names:
        if sampler == "heun" and not sigmas and model not in WITH_HEUN:
            continue
        found = cost(model, sampler, sigmas=sigmas)
        assert (found.waits, found.network_waits) == (0 if sigmas else SOLVED_ON_THE_DEVICE.get(sampler, 0), 0), sampler


OTHERS: Mapping[str, Mapping[str, Any]] = {
    "sd2": {},
    "sd-turbo": {},
    "sdxl": {},
    "sdxl-turbo": {},
    "sdxl-lcm": {},
    "dit": {"text": "207"},
    "ddpm": {"text": "", "side": 32},
    "consistency": {"text": "", "side": 32},
}


@pytest.mark.slow
@pytest.mark.parametrize("model", OTHERS)
def test_other_families(cost: Cost, model: str) -> None:
    found = cost(model, "model", **OTHERS[model])
    assert (found.waits, found.network_waits) == (0, 0)


def under_one(net: str) -> Steered:
    """The positive prompt alone under a ControlNet."""

    def steered(checkpoint: Any, guide: Any, zoo: Callable[[str], str]) -> Any:
        positive, negative = (TextEncode(checkpoint.text_encoder, text) for text in ("a red house", "night"))
        both = ApplyControlNet(positive, None, LoadControlNet(zoo(net)), LoadImage("lake.png"), checkpoint.vae)
        return CFGGuide(checkpoint.model, both.positive, negative, scale=4.0)

    return steered


STEERED: Mapping[str, tuple[str, Steered]] = {
    "ControlNet": (EMBEDDED, under_one("builtin:landscapes-edges")),
    "ControlNet of SDXL": ("sdxl", under_one("sdxl-edges")),
    "ControlNet of FLUX.1": ("flux-dev", under_one("flux-edges")),
    "ControlNet of SD 3": ("sd3", under_one("sd3-edges")),
    "ControlNet of Qwen-Image": ("qwen-image", under_one("qwen-edges")),
    "perturbed attention": (EMBEDDED, lambda checkpoint, guide, zoo: PerturbedAttention(guide)),
    "projected guidance": (EMBEDDED, lambda checkpoint, guide, zoo: ProjectedGuidance(guide)),
    "rescaled guidance": (
        EMBEDDED,
        lambda checkpoint, guide, zoo: CFGGuide(
            checkpoint.model,
            TextEncode(checkpoint.text_encoder, "a red house"),
            TextEncode(checkpoint.text_encoder, "night"),
            scale=4.0,
            rescale=0.7,
        ),
    ),
}


@pytest.mark.parametrize("name", thinned(STEERED, ("ControlNet",)))
def test_steering(cost: Cost, name: str) -> None:
    model, steered = STEERED[name]
    found = cost(model, "euler", steered)
    assert (found.waits, found.network_waits) == (0, 0)


@pytest.mark.slow
@pytest.mark.parametrize("model", [EMBEDDED, "flux-dev"])
@pytest.mark.parametrize("sampler", ["euler", "ddim", "dpmpp_2m"])
def test_noise_masks(cost: Cost, model: str, sampler: SamplerName) -> None:
    if model == "flux-dev" and sampler == "ddim":
        sampler = "deis"
    found = cost(model, sampler, masked=True)
    assert (found.waits, found.network_waits) == (0, 0)


def test_the_noise_of_steps_is_that_of_the_host(tmp_path: Path) -> None:
    """In float32 a pretended device computes as the host does: latents are equal bit for bit."""
    with Graph() as graph:
        checkpoint = LoadCheckpoint(EMBEDDED)
        guide = CFGGuide(checkpoint.model, TextEncode(checkpoint.text_encoder, "a red house"), scale=4.0)
        graph.output("latent", KSampler(guide, EmptyLatent(32, 32, 2), sampler="euler_ancestral", steps=3, seed=5))
    found = []
    for device in ("cpu", "cuda:0"):
        with (
            PretendedDevices("cuda"),
            Engine(store=None, device=device, precision="float32", output=tmp_path) as engine,
        ):
            found.append(engine.run(graph).outputs["latent"].samples)
    assert torch.equal(*found)
