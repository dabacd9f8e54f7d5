"""Pictures of Lumina equal those of diffusers' pipeline. `pytest -m "slow or not slow"` tries all samplers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.nodes.families.text_pictures import painted, picture_graph, with_lora
from tests.nodes.oracle import PROMPT, SIZE, Oracle, assert_same, diffusers
from tests.refusals import refused
from weft.engine import Engine

SIZED: dict[str, Any] = {"height": SIZE, "width": SIZE}

SCHEDULES = [
    pytest.param(*one, marks=[] if one == ("model", "model") else [pytest.mark.slow])
    for one in (("model", "model"), ("euler", "karras"), ("euler", "exponential"), ("euler", "beta"))
]
"""The pipeline gives schedulers a list of sigmas, which only those of flow matching take."""


@pytest.mark.parametrize(("sampler", "schedule"), SCHEDULES)
def test_a_picture_equals_that_of_the_pipeline(
    engine: Engine, zoo: Any, oracle: Oracle, sampler: str, schedule: str
) -> None:
    batch = 2 if sampler == "model" else 1
    theirs = oracle.paint(diffusers.Lumina2Pipeline, sampler, schedule, model=zoo("lumina2"), batch=batch, **SIZED)
    assert_same(painted(engine, "lumina2", sampler=sampler, schedule=schedule, batch=batch), theirs)


@pytest.mark.slow
@pytest.mark.parametrize("texts", [(PROMPT, None), ("Long words, " * 40, "Ugly"), ("x", "")])
def test_any_texts_are_read_as_by_the_pipeline(
    engine: Engine, zoo: Any, oracle: Oracle, texts: tuple[str, str | None]
) -> None:
    given: dict[str, Any] = {"prompt": [texts[0]], "negative_prompt": [texts[1] or ""], **SIZED, "width": 2 * SIZE}
    theirs = oracle.paint(diffusers.Lumina2Pipeline, "model", model=zoo("lumina2"), **given)
    assert_same(painted(engine, "lumina2", sampler="model", texts=texts, size=(2 * SIZE, SIZE)), theirs)


@pytest.mark.slow
def test_a_lora_equals_that_of_the_pipeline(engine: Engine, zoo: Any, oracle: Oracle, models: Path) -> None:
    zoo("lumina2")
    with with_lora(oracle, models, "lumina2", r"attn\.to_") as lora:
        theirs = oracle.paint(diffusers.Lumina2Pipeline, "model", model="lumina2", **SIZED)
    assert_same(painted(engine, "lumina2", sampler="model", lora=lora), theirs)


@pytest.mark.parametrize("size", [(SIZE + 8, SIZE), (2048, SIZE)])
def test_a_size_that_the_model_has_no_places_for_is_refused_before_a_run(
    engine: Engine, zoo: Any, size: tuple[int, int]
) -> None:
    with refused("wrong-size"):
        engine.run(picture_graph(zoo("lumina2"), size=size))
