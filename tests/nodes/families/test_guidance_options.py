"""Guidance and lengths of prompts as diffusers' own calls have them, where Weft's defaults differ."""

from __future__ import annotations

from typing import Any

import pytest

from tests.nodes.conftest import read_pixels
from tests.nodes.oracle import NEGATIVE, PROMPT, SEED, SIZE, STEPS, Oracle, Pixels, assert_same, diffusers
from tests.refusals import refused
from weft.engine import Engine, Graph, GraphError
from weft.nodes import CFGGuide, EmptyLatent, KSampler, LoadCheckpoint, SaveImage, TextEncode, VAEDecode


def painted(engine: Engine, model: str, length: int | None = None, **guidance: Any) -> Pixels:
    """What Weft paints for the tests' prompts under some guidance, read up to a length."""
    with Graph() as graph:
        checkpoint = LoadCheckpoint(model)
        prompts = [TextEncode(checkpoint.text_encoder, text, max_sequence_length=length) for text in (PROMPT, NEGATIVE)]
        guide = CFGGuide(checkpoint.model, *prompts, **guidance)
        latent = KSampler(guide, EmptyLatent(SIZE, SIZE), seed=SEED, steps=STEPS, sampler="model")
        SaveImage(VAEDecode(checkpoint.vae, latent))
    return read_pixels(engine.run(graph).paths)


@pytest.mark.parametrize("model", ["flux-dev", pytest.param("flux-schnell", marks=pytest.mark.slow)])
def test_a_distilled_model_is_guided_besides(zoo: Any, engine: Engine, oracle: Oracle, model: str) -> None:
    kind = diffusers.FluxPipeline
    size: dict[str, Any] = {"height": SIZE, "width": SIZE}
    theirs = oracle.paint(kind, "model", model=zoo(model), guidance_scale=3.5, true_cfg_scale=3.0, **size)
    assert_same(painted(engine, model, scale=3.5, true_scale=3.0), theirs)


def test_a_scale_below_1_turns_guidance_off_where_that_is_asked_for(zoo: Any, engine: Engine, oracle: Oracle) -> None:
    """As `guidance_scale=0.0` of the cards of Turbo models."""
    kind = diffusers.StableDiffusionXLPipeline
    size: dict[str, Any] = {"height": SIZE, "width": SIZE}
    theirs = oracle.paint(kind, "model", model=zoo("sdxl-turbo"), guidance_scale=0.0, **size)
    assert_same(painted(engine, "sdxl-turbo", scale=0.0, off_below_1=True), theirs)
    assert (painted(engine, "sdxl-turbo", scale=0.0) != theirs).any()


def test_a_model_that_reads_no_scale_has_one_alone(engine: Engine) -> None:
    with refused("unsupported-by-model", "cfg_guide", node="k_sampler"):
        painted(engine, "epsilon", scale=3.5, true_scale=3.0)


@pytest.mark.parametrize(
    ("model", "kind", "length"),
    [
        ("flux-schnell", "FluxPipeline", 256),
        pytest.param("flux-schnell", "FluxPipeline", 8, marks=pytest.mark.slow),
        pytest.param("sd3", "StableDiffusion3Pipeline", 77, marks=pytest.mark.slow),
        ("sd3-short", "StableDiffusion3Pipeline", 77),
        pytest.param("qwen-image", "QwenImagePipeline", 4, marks=pytest.mark.slow),
    ],
)
def test_a_prompt_is_read_up_to_a_length(
    zoo: Any, engine: Engine, oracle: Oracle, model: str, kind: str, length: int
) -> None:
    guided: dict[str, Any] = (
        {"guidance_scale": None, "true_cfg_scale": 4.0} if model == "qwen-image" else {"guidance_scale": 4.0}
    )
    size: dict[str, Any] = {"height": SIZE, "width": SIZE, "max_sequence_length": length}
    theirs = oracle.paint(getattr(diffusers, kind), "model", model=zoo(model), **guided, **size)
    assert_same(painted(engine, model, length, scale=4.0), theirs)


def test_clip_reads_chunks_and_takes_no_length(engine: Engine, call: Any) -> None:
    with refused("unsupported-by-model"):
        call(
            TextEncode, text_encoder=call(LoadCheckpoint, source="epsilon").text_encoder, text="", max_sequence_length=9
        )
    with pytest.raises(GraphError) as caught:
        painted(engine, "epsilon", 256, scale=4.0)
    assert {one.code for one in caught.value.problems} == {"unsupported-by-model"}
