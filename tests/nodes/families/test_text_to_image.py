"""Pictures of every family equal those of diffusers' own pipelines, from text and from a picture."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from tests.nodes.oracle import SCALE, SIZE, Oracle, assert_same, diffusers
from weft.nodes import LoadCheckpoint, LoadImage, VAEEncode
from weft.nodes.sampling.samplers import SAMPLERS

NOISY = ("model", "ddim", "euler", "euler_ancestral", "heun", "dpmpp_2m", "dpmpp_2m_sde", "unipc")
"""The samplers that are tried by default under a noise schedule; `-m slow` tries all."""

FAMILIES: dict[str, tuple[str, str]] = {
    "sd2": ("StableDiffusionPipeline", "StableDiffusionImg2ImgPipeline"),
    "sdxl": ("StableDiffusionXLPipeline", "StableDiffusionXLImg2ImgPipeline"),
    "sdxl-refiner": ("", "StableDiffusionXLImg2ImgPipeline"),
    "sd3": ("StableDiffusion3Pipeline", "StableDiffusion3Img2ImgPipeline"),
    "sd3-short": ("StableDiffusion3Pipeline", "StableDiffusion3Img2ImgPipeline"),
    "sd35": ("StableDiffusion3Pipeline", "StableDiffusion3Img2ImgPipeline"),
    "flux-dev": ("FluxPipeline", "FluxImg2ImgPipeline"),
    "flux-schnell": ("FluxPipeline", "FluxImg2ImgPipeline"),
    "z-image": ("ZImagePipeline", "ZImageImg2ImgPipeline"),
    "qwen-image": ("QwenImagePipeline", "QwenImageImg2ImgPipeline"),
}
"""diffusers' pipelines from text and from a picture, by checkpoint."""

SIZED = ("flux-dev", "flux-schnell", "z-image", "qwen-image")
"""Checkpoints whose pipelines from a picture take another size than the picture's unless they are given one."""

Paint = Callable[..., Any]

EULER = (("model", "model"), *(("euler", schedule) for schedule in ("model", "karras", "exponential", "beta")))
SOLVERS = tuple((sampler, "model") for sampler in ("dpmpp_2m", "dpmpp_3m", "deis", "unipc"))
HEUN = (("heun", "model"),)

FLOWS: dict[str, tuple[tuple[str, str], ...]] = {
    "sd3": (*EULER, *HEUN, *SOLVERS),
    "sd3-short": (*EULER[:2], *HEUN, *SOLVERS),
    "sd35": (*EULER[:2], *HEUN, *SOLVERS),
    "flux-dev": (*EULER, *SOLVERS),
    "flux-schnell": EULER,
    "z-image": EULER,
    "qwen-image": EULER,
}
"""The samplers and schedules that diffusers' own pipelines of flows take."""

NOISE = tuple((sampler, "model") for sampler in ("model", *SAMPLERS))


GUIDED: dict[str, dict[str, Any]] = {
    "z-image": {"guidance_scale": SCALE - 1},
    "qwen-image": {"guidance_scale": None, "true_cfg_scale": SCALE},
}
"""How pipelines are asked for the guidance that Weft calls `SCALE`, where it is not the pipelines' `guidance_scale`.

Z-Image's is what is added to the prediction for the positive prompt: 0 guides nowhere, and Weft's scale is 1 more.
"""


def cases(start: int) -> list[Any]:
    """Each checkpoint whose family has the pipeline, with its samplers; solvers put no picture under noise there."""
    return [
        pytest.param(model, sampler, schedule, marks=[] if model in FLOWS or sampler in NOISY else [pytest.mark.slow])
        for model, pipelines in FAMILIES.items()
        for sampler, schedule in FLOWS.get(model, NOISE)
        if pipelines[start] and not (start and model in FLOWS and (sampler, schedule) in SOLVERS)
    ]


def test_the_pairs_are_counted() -> None:
    print(f"{len(cases(0))} pairs from text, {len(cases(1))} from a picture")
    assert len(cases(0)) + len(cases(1)) >= 120


@pytest.mark.parametrize(("model", "sampler", "schedule"), cases(0))
def test_text_to_image(zoo: Any, weft_paints: Paint, oracle: Oracle, model: str, sampler: str, schedule: str) -> None:
    kind = getattr(diffusers, FAMILIES[zoo(model)][0])
    theirs = oracle.paint(
        kind, sampler, schedule, model=model, batch=2, height=SIZE, width=SIZE, **GUIDED.get(model, {})
    )
    assert_same(weft_paints(model, sampler=sampler, schedule=schedule, batch=2), theirs)


QUICK = (("sd3", 0.3), ("z-image", 0.3))
SHARES = [
    pytest.param(model, "model", "model", share, marks=[] if (model, share) in QUICK else [pytest.mark.slow])
    for model in ("sd2", "sdxl", "sd3", "flux-dev", "flux-schnell", "z-image", "qwen-image")
    for share in (0.3, 0.99)
]
"""Shares of five steps that are no whole number of them: 1.5 and 4.95 steps."""


@pytest.mark.parametrize(
    ("model", "sampler", "schedule", "share"),
    [*(pytest.param(*one.values, 0.6, marks=one.marks) for one in cases(1)), *SHARES],
)
def test_image_to_image(
    zoo: Any, call: Paint, weft_paints: Paint, oracle: Oracle, model: str, sampler: str, schedule: str, share: float
) -> None:
    """The picture's mean latents are given to the pipeline, which would draw them from the VAE's distribution."""
    mean: torch.Tensor = call(
        VAEEncode, vae=call(LoadCheckpoint, source=zoo(model)).vae, image=call(LoadImage, path="ramp.png")
    ).samples
    kind = getattr(diffusers, FAMILIES[model][1])
    size = {"height": SIZE, "width": SIZE} if model in SIZED else {}
    theirs = oracle.paint(
        kind, sampler, schedule, model=model, image=mean, strength=share, **size, **GUIDED.get(model, {})
    )
    assert_same(weft_paints(model, image="ramp.png", sampler=sampler, schedule=schedule, denoise=share), theirs)
