"""Pictures of Sana equal those of diffusers' pipeline. `pytest -m "slow or not slow"` tries all samplers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.nodes.families.text_pictures import painted, picture_graph, with_lora
from tests.nodes.oracle import PROMPT, SIZE, Oracle, assert_same, diffusers
from tests.refusals import refused
from weft.engine import Engine

UNSIZED: dict[str, Any] = {"use_resolution_binning": False, "height": SIZE, "width": SIZE}
"""Pictures of the size that was asked for, in place of the nearest that Sana was trained on."""

QUICK = ("model", "euler")

TAKEN = ("model", "euler", "heun", "dpmpp_2m", "dpmpp_3m", "deis", "unipc")


@pytest.mark.parametrize(
    "sampler", [pytest.param(one, marks=[] if one in QUICK else [pytest.mark.slow]) for one in TAKEN]
)
def test_a_picture_equals_that_of_the_pipeline(engine: Engine, zoo: Any, oracle: Oracle, sampler: str) -> None:
    batch = 2 if sampler == "model" else 1
    theirs = oracle.paint(diffusers.SanaPipeline, sampler, model=zoo("sana"), batch=batch, **UNSIZED)
    assert_same(painted(engine, "sana", sampler=sampler, batch=batch), theirs)


@pytest.mark.slow
@pytest.mark.parametrize("texts", [(PROMPT, None), ("Long words, " * 40, "Ugly"), ("x", "")])
def test_any_texts_are_read_as_by_the_pipeline(
    engine: Engine, zoo: Any, oracle: Oracle, texts: tuple[str, str | None]
) -> None:
    given: dict[str, Any] = {"prompt": [texts[0]], "negative_prompt": [texts[1] or ""], **UNSIZED, "width": 2 * SIZE}
    theirs = oracle.paint(diffusers.SanaPipeline, "model", model=zoo("sana"), **given)
    assert_same(painted(engine, "sana", sampler="model", texts=texts, size=(2 * SIZE, SIZE)), theirs)


@pytest.mark.slow
def test_a_lora_equals_that_of_the_pipeline(engine: Engine, zoo: Any, oracle: Oracle, models: Path) -> None:
    zoo("sana")
    with with_lora(oracle, models, "sana", r"attn\d\.to_") as lora:
        theirs = oracle.paint(diffusers.SanaPipeline, "model", model="sana", **UNSIZED)
    assert_same(painted(engine, "sana", sampler="model", lora=lora), theirs)


def test_what_the_model_does_not_take_is_refused_before_a_run(engine: Engine, zoo: Any) -> None:
    with refused("wrong-size", 32):
        engine.run(picture_graph(zoo("sana"), size=(SIZE + 16, SIZE)))
