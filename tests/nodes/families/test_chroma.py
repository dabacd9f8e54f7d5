"""Pictures of Chroma equal those of diffusers' pipelines. `pytest -m "slow or not slow"` tries all samplers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.nodes.families.text_pictures import painted, picture_graph, with_lora
from tests.nodes.oracle import SIZE, Oracle, assert_same, diffusers
from tests.refusals import refused
from weft.engine import Engine
from weft.nodes import LoadCheckpoint, LoadImage, ReferenceGuide, VAEEncode

SIZED: dict[str, Any] = {"height": SIZE, "width": SIZE}

SHORT = 32
"""Tokens that prompts are padded to in tests that are run by default: all of them take long."""


def test_a_picture_equals_that_of_the_pipeline(engine: Engine, zoo: Any, oracle: Oracle) -> None:
    given: dict[str, Any] = {"model": zoo("chroma"), "batch": 2, "max_sequence_length": SHORT, **SIZED}
    theirs = oracle.paint(diffusers.ChromaPipeline, "model", **given)
    assert_same(painted(engine, "chroma", sampler="model", batch=2, longest=SHORT), theirs)


@pytest.mark.slow
@pytest.mark.parametrize("schedule", ["model", "karras", "exponential", "beta"])
def test_a_picture_of_any_schedule_equals_that_of_the_pipeline(
    engine: Engine, zoo: Any, oracle: Oracle, schedule: str
) -> None:
    """The pipeline gives schedulers a list of sigmas, which only those of flow matching take."""
    theirs = oracle.paint(diffusers.ChromaPipeline, "euler", schedule, model=zoo("chroma"), **SIZED)
    assert_same(painted(engine, "chroma", sampler="euler", schedule=schedule), theirs)


@pytest.mark.parametrize("share", [0.6, pytest.param(0.3, marks=pytest.mark.slow)])
def test_a_picture_made_of_another_equals_that_of_the_pipeline(
    engine: Engine, zoo: Any, call: Any, oracle: Oracle, share: float
) -> None:
    vae = call(LoadCheckpoint, source=zoo("chroma")).vae
    mean = call(VAEEncode, vae=vae, image=call(LoadImage, path="ramp.png")).samples
    given: dict[str, Any] = {"model": "chroma", "image": mean, "strength": share, "max_sequence_length": SHORT, **SIZED}
    theirs = oracle.paint(diffusers.ChromaImg2ImgPipeline, "model", **given)
    ours = painted(engine, "chroma", sampler="model", image="ramp.png", denoise=share, longest=SHORT)
    assert_same(ours, theirs)


@pytest.mark.slow
def test_a_lora_equals_that_of_the_pipeline(engine: Engine, zoo: Any, oracle: Oracle, models: Path) -> None:
    zoo("chroma")
    with with_lora(oracle, models, "chroma", r"attn\.to_|ff\.net") as lora:
        theirs = oracle.paint(diffusers.ChromaPipeline, "model", model="chroma", **SIZED)
    assert_same(painted(engine, "chroma", sampler="model", lora=lora), theirs)


def test_a_picture_to_refer_to_is_refused_before_a_run(engine: Engine, zoo: Any) -> None:
    def lead(guide: Any, checkpoint: Any) -> Any:
        return ReferenceGuide(guide, checkpoint.vae, LoadImage("ramp.png"))

    with refused("unsupported-by-model"):
        engine.run(picture_graph(zoo("chroma"), lead=lead))
