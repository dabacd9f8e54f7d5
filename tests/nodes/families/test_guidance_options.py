"""Guidance as diffusers' own calls have it, where they differ from the formula."""

from __future__ import annotations

from typing import Any

import pytest

from tests.nodes.conftest import read_pixels
from tests.nodes.oracle import NEGATIVE, PROMPT, SEED, SIZE, STEPS, Oracle, Pixels, assert_same, diffusers
from tests.refusals import refused
from weft.engine import Engine, Graph
from weft.nodes import CFGGuide, EmptyLatent, KSampler, LoadCheckpoint, SaveImage, TextEncode, VAEDecode


def painted(engine: Engine, model: str, **guidance: Any) -> Pixels:
    """What Weft paints for the tests' prompts under some guidance."""
    with Graph() as graph:
        checkpoint = LoadCheckpoint(model)
        prompts = [TextEncode(checkpoint.text_encoder, text) for text in (PROMPT, NEGATIVE)]
        guide = CFGGuide(checkpoint.model, *prompts, **guidance)
        latent = KSampler(guide, EmptyLatent(SIZE, SIZE), seed=SEED, steps=STEPS, sampler="model")
        SaveImage(VAEDecode(checkpoint.vae, latent))
    return read_pixels(engine.run(graph).paths)


@pytest.mark.parametrize("model", ["flux-dev", pytest.param("flux-schnell", marks=pytest.mark.slow)])
def test_a_distilled_model_is_guided_besides(zoo: Any, engine: Engine, oracle: Oracle, model: str) -> None:
    kind, size = diffusers.FluxPipeline, {"height": SIZE, "width": SIZE}
    theirs = oracle.paint(kind, "model", model=zoo(model), guidance_scale=3.5, true_cfg_scale=3.0, **size)
    assert_same(painted(engine, model, scale=3.5, true_scale=3.0), theirs)


def test_a_scale_below_1_turns_guidance_off_where_that_is_asked_for(zoo: Any, engine: Engine, oracle: Oracle) -> None:
    """As `guidance_scale=0.0` of the cards of Turbo models."""
    kind, size = diffusers.StableDiffusionXLPipeline, {"height": SIZE, "width": SIZE}
    theirs = oracle.paint(kind, "model", model=zoo("sdxl-turbo"), guidance_scale=0.0, **size)
    assert_same(painted(engine, "sdxl-turbo", scale=0.0, off_below_1=True), theirs)
    assert (painted(engine, "sdxl-turbo", scale=0.0) != theirs).any()


def test_a_model_that_reads_no_scale_has_one_alone(engine: Engine) -> None:
    with refused("unsupported-by-model", "cfg_guide", node="k_sampler"):
        painted(engine, "epsilon", scale=3.5, true_scale=3.0)
