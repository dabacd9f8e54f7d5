"""A run in two stages, and models distilled to take few steps, equal diffusers' own pipelines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image as Pictures

from tests.nodes.conftest import read_pixels
from tests.nodes.oracle import NEGATIVE, PROMPT, SCALE, SEED, SIZE, Oracle, assert_same, diffusers
from weft.engine import Engine, Graph, HashedResource, Loading, SearchPaths
from weft.engine.keys import digest
from weft.engine.weights.recipes import Sources
from weft.nodes import (
    CFGGuide,
    EmptyLatent,
    Framing,
    KSampler,
    LoadCheckpoint,
    LoadImage,
    SaveImage,
    TextEncode,
    VAEDecode,
    VAEEncode,
)
from weft.nodes.families.sources import CheckpointSource
from weft.nodes.library.recipe_loaders import load_vae
from weft.nodes.values import VAE

STEPS, HAND_OVER, SHARE = 6, 4, 0.69
"""The stages change at the fourth of six steps, where 0.69 of the training's timesteps are walked."""


def guide(checkpoint: Any) -> Any:
    positive, negative = (TextEncode(checkpoint.text_encoder, text) for text in (PROMPT, NEGATIVE))
    return CFGGuide(checkpoint.model, positive, negative, scale=SCALE)


def two_stages(sampler: Any, first: str, second: str, **handed: Any) -> Graph:
    """The first checkpoint up to the hand-over, the second from there on."""
    with Graph() as graph:
        base, refiner = LoadCheckpoint(first), LoadCheckpoint(second)
        sampling = {"seed": SEED, "steps": STEPS, "sampler": sampler}
        noisy = KSampler(guide(base), EmptyLatent(SIZE, SIZE), end_step=HAND_OVER, **{**sampling, **handed})
        latent = KSampler(guide(refiner), noisy, start_step=HAND_OVER, add_noise=False, **sampling)
        SaveImage(VAEDecode(refiner.vae, latent))
    return graph


@pytest.mark.parametrize("sampler", ["model", "euler", "ddim", "dpmpp_2m"])
def test_the_refiner_goes_on_from_the_base_model(zoo: Any, engine: Engine, oracle: Oracle, sampler: str) -> None:
    whole: dict[str, Any] = {"num_inference_steps": STEPS, "height": SIZE, "width": SIZE}
    latents = oracle.paint(
        diffusers.StableDiffusionXLPipeline,
        sampler,
        model=zoo("sdxl"),
        denoising_end=SHARE,
        output_type="latent",
        **whole,
    )
    theirs = oracle.paint(
        diffusers.StableDiffusionXLImg2ImgPipeline,
        sampler,
        model=zoo("sdxl-refiner"),
        image=latents,
        denoising_start=SHARE,
        num_inference_steps=STEPS,
    )
    assert_same(read_pixels(engine.run(two_stages(sampler, "sdxl", "sdxl-refiner")).paths), theirs)


@pytest.mark.parametrize(
    ("model", "sampler"),
    [
        *(("sdxl", sampler) for sampler in ("euler", "heun", "ddim", "tcd", "dpm2", "dpmpp_2s")),
        *(("sd3", sampler) for sampler in ("euler", "heun")),
        ("flux-dev", "euler"),
    ],
)
def test_a_run_in_two_stages_is_the_whole_run(
    zoo: Any, engine: Engine, weft_paints: Any, model: str, sampler: str
) -> None:
    parted = read_pixels(engine.run(two_stages(sampler, zoo(model), model)).paths)
    assert_same(parted, weft_paints(model, sampler=sampler, steps=STEPS))


@pytest.mark.parametrize("sampler", ["pndm", "sa_solver"])
def test_what_a_sampler_remembers_ends_with_its_stage(zoo: Any, engine: Engine, weft_paints: Any, sampler: str) -> None:
    parted = read_pixels(engine.run(two_stages(sampler, zoo("sdxl"), "sdxl")).paths)
    assert (parted != weft_paints("sdxl", sampler=sampler, steps=STEPS)).any()


TURBO = (("sd-turbo", "StableDiffusion"), ("sdxl-turbo", "StableDiffusionXL"))
"""Turbo checkpoints, and what diffusers calls their pipelines."""


@pytest.mark.parametrize(
    ("sampler", "steps"), [*(("model", steps) for steps in (1, 2, 4)), ("ddim", 1), ("dpmpp_2m", 2), ("lcm", 4)]
)
@pytest.mark.parametrize(("model", "kind"), TURBO)
def test_turbo_takes_few_steps_and_no_guidance(
    zoo: Any, weft_paints: Any, oracle: Oracle, model: str, kind: str, sampler: Any, steps: int
) -> None:
    pipeline = getattr(diffusers, f"{kind}Pipeline")
    size: dict[str, Any] = {"height": SIZE, "width": SIZE, "num_inference_steps": steps}
    theirs = oracle.paint(pipeline, sampler, model=zoo(model), batch=2, guidance_scale=0.0, **size)
    assert_same(weft_paints(model, sampler=sampler, steps=steps, scale=1.0, batch=2), theirs)


def latents(call: Any, model: str) -> torch.Tensor:
    """The mean latents of a picture, which a pipeline would draw from the VAE's distribution."""
    vae = call(LoadCheckpoint, source=model).vae
    mean: torch.Tensor = call(VAEEncode, vae=vae, image=call(LoadImage, path="ramp.png")).samples
    return mean


@pytest.mark.parametrize("sampler", ["model", "ddim", "dpmpp_2m", "lcm"])
@pytest.mark.parametrize(("model", "kind"), TURBO)
def test_turbo_starts_from_a_picture(
    zoo: Any, call: Any, weft_paints: Any, oracle: Oracle, model: str, kind: str, sampler: Any
) -> None:
    options: dict[str, Any] = {
        "image": latents(call, zoo(model)),
        "strength": 0.5,
        "guidance_scale": 0.0,
        "num_inference_steps": 4,
    }
    theirs = oracle.paint(getattr(diffusers, f"{kind}Img2ImgPipeline"), sampler, model=model, **options)
    assert_same(weft_paints(model, image="ramp.png", sampler=sampler, steps=4, denoise=0.5, scale=1.0), theirs)


@pytest.mark.parametrize("sampler", ["model", "lcm", "euler", "ddim", "dpmpp_2m"])
@pytest.mark.parametrize(("model", "kind"), [("distilled", "StableDiffusion"), ("sdxl-lcm", "StableDiffusionXL")])
def test_a_distilled_model_gets_the_scale(
    zoo: Any, weft_paints: Any, oracle: Oracle, model: str, kind: str, sampler: str
) -> None:
    size: dict[str, Any] = {"height": SIZE, "width": SIZE}
    theirs = oracle.paint(getattr(diffusers, f"{kind}Pipeline"), sampler, model=zoo(model), batch=2, **size)
    assert_same(weft_paints(model, sampler=sampler, batch=2), theirs)


def test_no_negative_prompt_is_zeros_where_the_checkpoint_says_so(zoo: Any, call: Any) -> None:
    for model, silent in (("sdxl", True), ("sdxl-refiner", False)):
        checkpoint = call(LoadCheckpoint, source=zoo(model))
        prompt = call(TextEncode, text_encoder=checkpoint.text_encoder, text=PROMPT)
        negative = call(CFGGuide, model=checkpoint.model, positive=prompt).negative
        assert bool(negative.prompts[0].pooled.abs().max() == 0) is silent


def test_a_latent_consistency_model_in_its_own_pipeline(weft_paints: Any, oracle: Oracle) -> None:
    """No other scheduler takes what this pipeline tells it."""
    size: dict[str, Any] = {"height": SIZE, "width": SIZE, "num_inference_steps": 4}
    kind = diffusers.LatentConsistencyModelPipeline
    theirs = oracle.run(kind, "lcm", model="distilled", prompt=[PROMPT], guidance_scale=SCALE, **size)
    assert_same(weft_paints("distilled", sampler="lcm", steps=4), theirs)


@pytest.mark.parametrize("sampler", ["model", "euler", "ddim", "dpmpp_2m"])
def test_a_distilled_model_starts_from_a_picture(call: Any, weft_paints: Any, oracle: Oracle, sampler: Any) -> None:
    options: dict[str, Any] = {"image": latents(call, "distilled"), "strength": 0.6}
    theirs = oracle.paint(diffusers.StableDiffusionImg2ImgPipeline, sampler, model="distilled", **options)
    assert_same(weft_paints("distilled", image="ramp.png", sampler=sampler, denoise=0.6), theirs)


@pytest.mark.parametrize("sampler", ["model", "ddim", "heun", "dpmpp_2m"])
def test_a_control_net_of_sdxl(zoo: Any, weft_paints: Any, oracle: Oracle, pictures: Path, sampler: str) -> None:
    edges = {"net": zoo("sdxl-edges"), "image": "stripes.png", "strength": 0.8, "end": 0.7}
    theirs = oracle.paint(
        diffusers.StableDiffusionXLControlNetPipeline,
        sampler,
        model=zoo("sdxl"),
        parts={"controlnet": oracle.control_net("sdxl-edges").float()},
        image=Pictures.open(pictures / "stripes.png"),
        controlnet_conditioning_scale=0.8,
        control_guidance_end=0.7,
    )
    assert_same(weft_paints("sdxl", sampler=sampler, controls=[edges]), theirs)


@pytest.mark.parametrize(("model", "expected"), [("sdxl", torch.float32), ("sd2", torch.float16)])
def test_the_vae_of_sdxl_is_wide_enough_in_half_precision(
    zoo: Any, models: Path, model: str, expected: torch.dtype
) -> None:
    found = CheckpointSource().resolve(zoo(model), SearchPaths(working=models, models=(models,)))
    sources = Sources()
    sources.learn(HashedResource(found, digest(model)))
    recipe = VAE[Any](digest(model), str(found.family), "", "float16")
    loaded = load_vae(recipe, Loading("cpu", sources))
    assert loaded.network.dtype is expected


def framed(model: str, left: int) -> Graph:
    """A picture as if cut out of one of 96 x 80 pixels, away from what looks like a small one."""
    with Graph() as graph:
        checkpoint = LoadCheckpoint(model)
        positive = Framing(TextEncode(checkpoint.text_encoder, PROMPT), width=96, height=80, left=left, top=8)
        negative = Framing(TextEncode(checkpoint.text_encoder, NEGATIVE), width=32, height=32)
        guide = CFGGuide(checkpoint.model, positive, negative, scale=SCALE)
        latent = KSampler(guide, EmptyLatent(SIZE, SIZE), seed=SEED, steps=5, sampler="ddim")
        SaveImage(VAEDecode(checkpoint.vae, latent))
    return graph


def test_sdxl_gets_the_framing(zoo: Any, engine: Engine, oracle: Oracle) -> None:
    theirs = oracle.paint(
        diffusers.StableDiffusionXLPipeline,
        "ddim",
        model=zoo("sdxl"),
        height=SIZE,
        width=SIZE,
        original_size=(80, 96),
        crops_coords_top_left=(8, 16),
        target_size=(SIZE, SIZE),
        negative_original_size=(32, 32),
        negative_target_size=(SIZE, SIZE),
    )
    assert_same(read_pixels(engine.run(framed("sdxl", left=16)).paths), theirs)


def test_a_family_without_size_conditioning_refuses_framing(engine: Engine) -> None:
    problems = engine.check(framed("epsilon", left=0)).problems
    assert [one.code for one in problems] == ["unsupported-by-model"] * 2
