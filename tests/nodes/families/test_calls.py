"""Z-Image and Qwen-Image paint what their pipelines do, in whichever way these are called."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch

from tests.nodes.conftest import read_pixels
from tests.nodes.oracle import NEGATIVE, PROMPT, SCALE, SEED, SIZE, STEPS, Oracle, Pixels, assert_same, diffusers
from weft.engine import Engine, Graph
from weft.nodes import (
    CFGGuide,
    EmptyLatent,
    KSampler,
    LoadCheckpoint,
    LoadImage,
    SaveImage,
    TextEncode,
    VAEDecode,
    VAEEncode,
)

PIPELINES = {
    "z-image": ("ZImagePipeline", "ZImageImg2ImgPipeline"),
    "qwen-image": ("QwenImagePipeline", "QwenImageImg2ImgPipeline"),
}

CALLS: Mapping[str, Mapping[str, Any]] = {
    "two steps": {"steps": 2},
    "eight steps": {"steps": 8},
    "wide": {"width": 96},
    "tall": {"height": 128},
    "three at once": {"batch": 3},
    "without guidance": {"scale": 1.0},
    "weak guidance": {"scale": 1.5},
    "strong guidance": {"scale": 9.0},
    "an empty negative prompt": {"negative": ""},
    "a negative prompt longer than the prompt": {"negative": "night, " * 20},
    "an empty prompt": {"prompt": ""},
    "a prompt over the longest": {"prompt": "a red house by the lake, " * 60},
    "letters of other scripts": {"prompt": 'a sign that says "Žluťoučký 日本", 100 % {}'},
    "a little of a picture changed": {"image": "ramp.png", "strength": 0.4},
    "nearly all of a picture changed": {"image": "ramp.png", "strength": 0.8, "steps": 10},
    "a picture without guidance": {"image": "ramp.png", "strength": 0.6, "scale": 1.0},
}

DEFAULTS = {"prompt": PROMPT, "negative": NEGATIVE, "scale": SCALE, "steps": STEPS, "batch": 1, "width": SIZE}


def ours(engine: Engine, model: str, asked: Mapping[str, Any]) -> Pixels:
    """What Weft paints for a call."""
    with Graph() as graph:
        checkpoint = LoadCheckpoint(model)
        negative = TextEncode(checkpoint.text_encoder, asked["negative"])
        guide = CFGGuide(
            checkpoint.model, TextEncode(checkpoint.text_encoder, asked["prompt"]), negative, scale=asked["scale"]
        )
        image = asked.get("image")
        empty = EmptyLatent(asked["width"], asked["height"], asked["batch"])
        start = VAEEncode(checkpoint.vae, LoadImage(image)) if image else empty
        sampling: dict[str, Any] = {"seed": SEED, "steps": asked["steps"], "denoise": asked.get("strength", 1.0)}
        SaveImage(VAEDecode(checkpoint.vae, KSampler(guide, start, sampler="model", **sampling)))
    return read_pixels(engine.run(graph).paths)


def theirs(oracle: Oracle, model: str, asked: Mapping[str, Any], start: torch.Tensor | None) -> Pixels:
    """What diffusers' pipeline paints for it, from latents where there are some."""
    batch, scale = asked["batch"], asked["scale"]
    guidance = {"guidance_scale": scale - 1} if model == "z-image" else {"true_cfg_scale": scale}
    picture = {} if start is None else {"image": start, "strength": asked["strength"]}
    return oracle.run(
        getattr(diffusers, PIPELINES[model][start is not None]),
        "model",
        model=model,
        batch=batch,
        prompt=[asked["prompt"]] * batch,
        negative_prompt=[asked["negative"]] * batch,
        num_inference_steps=asked["steps"],
        width=asked["width"],
        height=asked["height"],
        **guidance,
        **picture,
    )


@pytest.mark.parametrize("model", PIPELINES)
@pytest.mark.parametrize("name", CALLS)
def test_a_call_paints_what_the_pipeline_paints(
    zoo: Any, call: Callable[..., Any], engine: Engine, oracle: Oracle, model: str, name: str
) -> None:
    asked = {**DEFAULTS, "height": SIZE, **CALLS[name]}
    start = None
    if "image" in asked:
        vae = call(LoadCheckpoint, source=zoo(model)).vae
        start = call(VAEEncode, vae=vae, image=call(LoadImage, path=asked["image"])).samples
    assert_same(ours(engine, zoo(model), asked), theirs(oracle, model, asked, start))
