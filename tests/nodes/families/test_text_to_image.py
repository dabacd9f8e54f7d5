"""Pictures of every family equal those of diffusers' own pipelines, from text and from a picture."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from tests.nodes.oracle import SIZE, Oracle, assert_same, diffusers
from weft.nodes import LoadCheckpoint, LoadImage, VAEEncode
from weft.nodes.samplers import SAMPLERS

NOISY = ("model", "ddim", "euler", "euler_ancestral", "heun", "dpmpp_2m", "dpmpp_2m_sde", "unipc")
"""The samplers that are tried by default under a noise schedule; `-m slow` tries all."""

FAMILIES: dict[str, tuple[str, str]] = {
    "sd2": ("StableDiffusionPipeline", "StableDiffusionImg2ImgPipeline"),
    "sdxl": ("StableDiffusionXLPipeline", "StableDiffusionXLImg2ImgPipeline"),
    "sdxl-refiner": ("", "StableDiffusionXLImg2ImgPipeline"),
}
"""diffusers' pipelines from text and from a picture, by checkpoint."""

PAIRS = [(model, sampler) for model in FAMILIES for sampler in ("model", *SAMPLERS)]

Paint = Callable[..., Any]


def cases(start: int) -> list[Any]:
    """Each checkpoint whose family has the pipeline, with each sampler."""
    return [
        pytest.param(model, sampler, marks=[] if sampler in NOISY else [pytest.mark.slow])
        for model, sampler in PAIRS
        if FAMILIES[model][start]
    ]


@pytest.mark.parametrize(("model", "sampler"), cases(0))
def test_text_to_image(zoo: Any, weft_paints: Paint, oracle: Oracle, model: str, sampler: str) -> None:
    kind = getattr(diffusers, FAMILIES[zoo(model)][0])
    theirs = oracle.paint(kind, sampler, model=model, batch=2, height=SIZE, width=SIZE)
    assert_same(weft_paints(model, sampler=sampler, batch=2), theirs)


@pytest.mark.parametrize(("model", "sampler"), cases(1))
def test_image_to_image(zoo: Any, call: Paint, weft_paints: Paint, oracle: Oracle, model: str, sampler: str) -> None:
    """The picture's mean latents are given to the pipeline, which would draw them from the VAE's distribution."""
    mean: torch.Tensor = call(
        VAEEncode, vae=call(LoadCheckpoint, source=zoo(model)).vae, image=call(LoadImage, path="ramp.png")
    ).samples
    kind = getattr(diffusers, FAMILIES[model][1])
    theirs = oracle.paint(kind, sampler, model=model, image=mean, strength=0.6)
    assert_same(weft_paints(model, image="ramp.png", sampler=sampler, denoise=0.6), theirs)
