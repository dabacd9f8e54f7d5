"""Pictures equal those of diffusers' own pipelines: at most 1/255 apart in every pixel of the saved PNG.

The other families are in `families/`.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from PIL import Image as Pictures

from tests.nodes.conftest import read_pixels
from tests.nodes.oracle import (
    EDM_CLASSES,
    NEGATIVE,
    PROMPT,
    SCALE,
    SEED,
    SIZE,
    STEPS,
    VARIANTS,
    Oracle,
    assert_same,
    diffusers,
)
from weft.engine import Engine, Graph, Link
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
    VAEEncode,
)
from weft.nodes.sampling.samplers import SAMPLERS

PAIRS = [(sampler, schedule) for sampler, row in SAMPLERS.items() for schedule in row.schedules]

QUICK = (
    *(("dpmsolver_2m", "model"), ("dpmsolver_2m_sde", "model"), ("dpmsolver_2s", "karras")),
    *(("ddpm", "linspace"), ("euler", "linspace"), ("dpmpp_2m", "linspace"), ("dpmpp_3m_sde", "karras")),
    *(("dpmpp_2m_sde", "ays"), ("euler", "ays")),
)
"""The pairs with `VARIANTS`, `linspace` or `ays` that are tried by default."""


def marked(pair: tuple[str, str], quick: bool, *rest: str) -> Any:
    """A case, slow where it is a variant of another that is not quick; `-m slow` runs these."""
    slow = (pair[0] in VARIANTS or pair[1] in ("linspace", "ays")) and not quick
    return pytest.param(*pair, *rest, marks=[pytest.mark.slow] if slow else [])


FROM_TEXT = [
    marked(pair, pair in QUICK and model == "epsilon", model) for model in ("epsilon", "v_prediction") for pair in PAIRS
]
FROM_PICTURES = [marked(pair, pair in (QUICK[0], QUICK[-2])) for pair in PAIRS]
OWN_SPACING = [pytest.param(name, marks=[pytest.mark.slow] if name in VARIANTS else []) for name in SAMPLERS]


def steps_of(schedule: str) -> int:
    return 10 if schedule == "ays" else STEPS


@pytest.fixture(scope="module")
def mean(engine: Engine) -> torch.Tensor:
    """The latents of a picture, as VAEEncode makes them."""
    with Graph(outputs={"latent": Link("vae_encode")}) as graph:
        VAEEncode(LoadCheckpoint("epsilon").vae, LoadImage("ramp.png"))
    samples: torch.Tensor = engine.run(graph).outputs["latent"].samples
    return samples


def test_there_are_115_pairs() -> None:
    print(f"{len(PAIRS)} pairs of sampler and schedule, {2 * len(PAIRS)} with both predictions")
    assert len(PAIRS) == 115


@pytest.mark.parametrize(("sampler", "schedule", "model"), FROM_TEXT)
def test_text_to_image(weft_paints: Any, oracle: Oracle, sampler: str, schedule: str, model: str) -> None:
    ours = weft_paints(model, sampler=sampler, schedule=schedule, batch=2, steps=steps_of(schedule))
    kind = diffusers.StableDiffusionPipeline
    theirs = oracle.paint(kind, sampler, schedule, model=model, batch=2, height=SIZE, width=SIZE)
    assert_same(ours, theirs)


@pytest.mark.parametrize("denoise", [0.7, *(pytest.param(share, marks=pytest.mark.slow) for share in (0.2, 0.45, 1.0))])
@pytest.mark.parametrize(("sampler", "schedule"), FROM_PICTURES)
def test_image_to_image(
    weft_paints: Any, oracle: Oracle, mean: torch.Tensor, sampler: str, schedule: str, denoise: float
) -> None:
    steps = steps_of(schedule)
    ours = weft_paints(image="ramp.png", sampler=sampler, schedule=schedule, denoise=denoise, steps=steps)
    kind = diffusers.StableDiffusionImg2ImgPipeline
    assert_same(ours, oracle.paint(kind, sampler, schedule, image=mean, strength=denoise))


@pytest.mark.parametrize("sampler", OWN_SPACING)
def test_one_control_net(weft_paints: Any, oracle: Oracle, pictures: Path, sampler: str) -> None:
    edges = {"net": "edges", "image": "stripes.png", "strength": 0.8, "end": 0.7}
    ours = weft_paints(sampler=sampler, controls=[edges], batch=2)
    theirs = oracle.paint(
        diffusers.StableDiffusionControlNetPipeline,
        sampler,
        batch=2,
        parts={"controlnet": oracle.control_net("edges")},
        image=Pictures.open(pictures / "stripes.png"),
        controlnet_conditioning_scale=0.8,
        control_guidance_end=0.7,
    )
    assert_same(ours, theirs)


@pytest.mark.parametrize("sampler", OWN_SPACING)
def test_two_control_nets(weft_paints: Any, oracle: Oracle, pictures: Path, sampler: str) -> None:
    edges = {"net": "edges", "image": "stripes.png", "strength": 0.8}
    depth = {"net": "depth", "image": "ramp.png", "strength": 1.2, "start": 0.2, "end": 0.9}
    ours = weft_paints(sampler=sampler, controls=[edges, depth])
    theirs = oracle.paint(
        diffusers.StableDiffusionControlNetPipeline,
        sampler,
        parts={"controlnet": [oracle.control_net("edges"), oracle.control_net("depth")]},
        image=[Pictures.open(pictures / "stripes.png"), Pictures.open(pictures / "ramp.png")],
        controlnet_conditioning_scale=[0.8, 1.2],
        control_guidance_start=[0.0, 0.2],
        control_guidance_end=[1.0, 0.9],
    )
    assert_same(ours, theirs)


def test_a_control_net_that_is_applied_twice_counts_twice(weft_paints: Any, oracle: Oracle, pictures: Path) -> None:
    theirs = oracle.paint(
        diffusers.StableDiffusionControlNetPipeline,
        "euler",
        parts={"controlnet": [oracle.control_net("edges")] * 2},
        image=[Pictures.open(pictures / "ramp.png")] * 2,
        controlnet_conditioning_scale=[0.6, 0.6],
    )
    twice = [{"net": "edges", "image": "ramp.png", "strength": 0.6}] * 2
    assert_same(weft_paints(sampler="euler", controls=twice), theirs)


def test_a_control_net_that_inpaints(engine: Engine, oracle: Oracle, pictures: Path) -> None:
    """Pixels under the mask are -1, as `make_inpaint_condition` of diffusers' documentation has it."""
    with Graph() as graph:
        checkpoint: Any = LoadCheckpoint("epsilon")
        prompts = [TextEncode(checkpoint.text_encoder, text) for text in (PROMPT, NEGATIVE)]
        mask = ImageToMask(LoadImage("stripes.png"))
        positive, negative = ApplyControlNet(
            prompts[0], prompts[1], LoadControlNet("edges"), LoadImage("ramp.png"), mask=mask, start=0.2, end=0.9
        )
        guide = CFGGuide(checkpoint.model, positive, negative, scale=SCALE)
        latent = KSampler(guide, EmptyLatent(SIZE, SIZE), seed=SEED, steps=STEPS, sampler="euler")
        SaveImage(VAEDecode(checkpoint.vae, latent))
    shown, hidden = (numpy.asarray(Pictures.open(pictures / name), dtype="float32") for name in NAMES)
    shown[hidden.mean(-1) >= 127.5] = -255
    theirs = oracle.paint(
        diffusers.StableDiffusionControlNetPipeline,
        "euler",
        parts={"controlnet": oracle.control_net("edges")},
        image=torch.from_numpy(shown / 255).permute(2, 0, 1)[None],
        control_guidance_start=0.2,
        control_guidance_end=0.9,
    )
    assert_same(read_pixels(engine.run(graph).paths), theirs)


NAMES = ("ramp.png", "stripes.png")


def test_a_control_net_that_pools_its_output(weft_paints: Any, oracle: Oracle, pictures: Path) -> None:
    theirs = oracle.paint(
        diffusers.StableDiffusionControlNetPipeline,
        "euler",
        parts={"controlnet": oracle.control_net("style")},
        image=Pictures.open(pictures / "ramp.png"),
    )
    assert_same(weft_paints(sampler="euler", controls=[{"net": "style", "image": "ramp.png"}]), theirs)


@pytest.mark.parametrize(
    "sampler",
    [
        pytest.param(name, marks=[pytest.mark.slow] if name in VARIANTS else [])
        for name, row in SAMPLERS.items()
        if "sample" in row.predictions
    ],
)
def test_sample_prediction(weft_paints: Any, oracle: Oracle, sampler: str) -> None:
    theirs = oracle.paint(diffusers.StableDiffusionPipeline, sampler, model="sample", height=SIZE, width=SIZE)
    assert_same(weft_paints("sample", sampler=sampler), theirs)


@pytest.mark.parametrize("sampler", ["model", *EDM_CLASSES])
def test_a_model_with_the_preconditioning_of_edm(weft_paints: Any, oracle: Oracle, models: Path, sampler: str) -> None:
    shutil.copytree(models / "epsilon", models / "edm", dirs_exist_ok=True)
    diffusers.EDMEulerScheduler().save_pretrained(models / "edm" / "scheduler")
    index = models / "edm" / "model_index.json"
    index.write_text(index.read_text().replace("PNDMScheduler", "EDMEulerScheduler"))
    theirs = oracle.paint(diffusers.StableDiffusionPipeline, sampler, model="edm", batch=2, height=SIZE, width=SIZE)
    assert_same(weft_paints("edm", sampler=sampler, batch=2), theirs)


def test_a_model_distilled_with_guidance(weft_paints: Any, oracle: Oracle) -> None:
    """Its scale is embedded with the timestep, and no negative prompt is computed."""
    theirs = oracle.paint(diffusers.StableDiffusionPipeline, "lcm", model="distilled", height=SIZE, width=SIZE)
    assert_same(weft_paints("distilled", sampler="lcm"), theirs)


@pytest.mark.parametrize("variance", ["fixed_large", "fixed_small_log"])
def test_the_variance_of_ddpm(weft_paints: Any, oracle: Oracle, variance: str) -> None:
    """Without clipping; of latents nearly all leave -1..1."""
    kind, given = diffusers.StableDiffusionPipeline, {"variance_type": variance, "clip_sample": False}
    theirs = oracle.paint(kind, "ddpm", batch=2, scheduling=given, height=SIZE, width=SIZE)
    assert_same(weft_paints(sampler="ddpm", variance=variance, clip=False, batch=2), theirs)


def test_betas_by_number(weft_paints: Any, oracle: Oracle) -> None:
    kind, given = diffusers.StableDiffusionPipeline, {"beta_schedule": "linear", "beta_start": 1e-4, "beta_end": 0.02}
    theirs = oracle.paint(kind, "ddim", scheduling=given, height=SIZE, width=SIZE)
    training = {"noise": "linear", "beta_start": 1e-4, "beta_end": 0.02}
    assert_same(weft_paints(sampler="ddim", training=training), theirs)


def test_eta(weft_paints: Any, oracle: Oracle) -> None:
    theirs = oracle.paint(diffusers.StableDiffusionPipeline, "ddim", batch=2, eta=0.6, height=SIZE, width=SIZE)
    assert_same(weft_paints(sampler="ddim", eta=0.6, batch=2), theirs)


@pytest.mark.parametrize("sampler", OWN_SPACING)
def test_a_batch_equals_single_runs(weft_paints: Any, sampler: str) -> None:
    batch = weft_paints(sampler=sampler, batch=4)
    single = numpy.concatenate([weft_paints(sampler=sampler, seed=SEED + item) for item in range(4)])
    assert_same(batch, single)
