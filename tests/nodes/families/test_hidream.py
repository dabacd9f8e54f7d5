"""Pictures of HiDream equal those of diffusers' pipeline. `pytest -m "slow or not slow"` tries all samplers."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.nodes.families.text_pictures import painted, picture_graph, with_lora
from tests.nodes.oracle import PROMPT, SIZE, Oracle, assert_same, diffusers, one_each
from tests.refusals import refused
from weft.engine import Engine
from weft.nodes.families.hidream import HIDREAM

SIZED: dict[str, Any] = {"height": SIZE, "width": SIZE}

SHORT = 32
"""Tokens that prompts are padded to in tests that are run by default."""


def theirs_of(oracle: Oracle, sampler: str = "model", size: tuple[int, int] = (SIZE, SIZE), **call: Any) -> Any:
    """What the pipeline makes, which scales every size to the area that it was made for."""

    def prepare(pipe: Any) -> None:
        pipe.default_sample_size = int((size[0] * size[1]) ** 0.5 + 1) // 8

    given: dict[str, Any] = {"model": "hidream", "width": size[0], "height": size[1], "prepare": prepare, **call}
    return oracle.paint(diffusers.HiDreamImagePipeline, sampler, **given)


@pytest.mark.parametrize(
    "sampler",
    [pytest.param(one, marks=[] if one == "model" else [pytest.mark.slow]) for one in ("model", "euler", "unipc")],
)
def test_a_picture_equals_that_of_the_pipeline(engine: Engine, zoo: Any, oracle: Oracle, sampler: str) -> None:
    """The pipeline gives schedulers a shift by the size, which others do not take."""
    zoo("hidream")
    batch = 2 if sampler == "model" else 1
    theirs = theirs_of(oracle, sampler, batch=batch, max_sequence_length=SHORT)
    assert_same(painted(engine, "hidream", sampler=sampler, batch=batch, longest=SHORT), theirs)


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["model", "euler", "unipc"])
@pytest.mark.parametrize("batch", [1, 2])
def test_a_picture_of_a_distilled_model_equals_that_of_the_pipeline(
    engine: Engine, zoo: Any, oracle: Oracle, sampler: str, batch: int
) -> None:
    """Dev, Fast. The pipeline leaves noise of later steps to torch's own generator, whatever seeds it is given."""
    zoo("hidream-dev")
    seeds = one_each(batch)

    def prepare(pipe: Any) -> None:
        pipe.default_sample_size = SIZE // 8
        if sampler == "model":
            pipe.scheduler.step = partial(pipe.scheduler.step, generator=seeds)

    given: dict[str, Any] = {"generators": lambda _: seeds, "guidance_scale": 0.0, "max_sequence_length": SHORT}
    kind = diffusers.HiDreamImagePipeline
    theirs = oracle.paint(kind, sampler, model="hidream-dev", batch=batch, prepare=prepare, **SIZED, **given)
    unguided: dict[str, Any] = {"scale": 1.0, "texts": (PROMPT, None)}
    made = painted(engine, "hidream-dev", sampler=sampler, batch=batch, longest=SHORT, **unguided)
    assert_same(made, theirs)
    if sampler == "model":
        assert_same(painted(engine, "hidream-dev", sampler="lcm", batch=batch, longest=SHORT, **unguided), theirs)


def test_the_scheduler_of_the_authors_code_is_read() -> None:
    own = {"_class_name": "FlashFlowMatchEulerDiscreteScheduler", "shift": 6.0}
    assert HIDREAM.restated(own) == {"_class_name": "FlowMatchLCMScheduler", "shift": 6.0}


@pytest.mark.slow
def test_long_prompts_are_read_as_by_the_pipeline(engine: Engine, zoo: Any, oracle: Oracle) -> None:
    zoo("hidream")
    texts = "Long words, " * 20, "x"
    theirs = theirs_of(oracle, prompt=[texts[0]], negative_prompt=[texts[1]])
    assert_same(painted(engine, "hidream", sampler="model", texts=texts), theirs)


@pytest.mark.slow
def test_a_lora_equals_that_of_the_pipeline(engine: Engine, zoo: Any, oracle: Oracle, models: Path) -> None:
    zoo("hidream")
    with with_lora(oracle, models, "hidream", r"attn1\.to_") as lora:
        theirs = theirs_of(oracle, max_sequence_length=SHORT)
    assert_same(painted(engine, "hidream", sampler="model", lora=lora, longest=SHORT), theirs)


@pytest.mark.parametrize("size", [(SIZE + 8, SIZE), (4 * SIZE, 2 * SIZE)])
def test_a_size_that_the_model_has_no_places_for_is_refused_before_a_run(
    engine: Engine, zoo: Any, size: tuple[int, int]
) -> None:
    with refused("wrong-size"):
        engine.run(picture_graph(zoo("hidream"), size=size))
