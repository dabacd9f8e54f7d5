"""Pictures of FLUX.2 equal those of diffusers' pipelines. `pytest -m "slow or not slow"` tries all samplers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as Pictures

from tests.nodes.families.text_pictures import painted, picture_graph, with_lora
from tests.nodes.oracle import PROMPT, SCALE, SIZE, Oracle, assert_same, diffusers
from tests.refusals import refused
from weft.engine import Engine
from weft.nodes import LoadImage, ReferenceGuide

SIZED: dict[str, Any] = {"height": SIZE, "width": SIZE}

SAMPLERS = [
    pytest.param(one, marks=[] if one in ("model", "dpmpp_2m") else [pytest.mark.slow])
    for one in ("model", "euler", "dpmpp_2m", "dpmpp_3m", "deis", "unipc")
]


def theirs_of_dev(oracle: Oracle, sampler: str = "model", **call: Any) -> Any:
    """What the pipeline makes, which has no negative prompt; Weft's is not read."""
    given: dict[str, Any] = {"prompt": [PROMPT] * call.get("batch", 1), "guidance_scale": SCALE, **SIZED, **call}
    return oracle.run(diffusers.Flux2Pipeline, sampler, model="flux2", **given)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_picture_of_dev_equals_that_of_the_pipeline(engine: Engine, zoo: Any, oracle: Oracle, sampler: str) -> None:
    zoo("flux2")
    batch = 2 if sampler == "model" else 1
    assert_same(painted(engine, "flux2", sampler=sampler, batch=batch), theirs_of_dev(oracle, sampler, batch=batch))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_picture_of_klein_equals_that_of_the_pipeline(engine: Engine, zoo: Any, oracle: Oracle, sampler: str) -> None:
    given: dict[str, Any] = {"prompt": [PROMPT], "guidance_scale": SCALE, **SIZED}
    theirs = oracle.run(diffusers.Flux2KleinPipeline, sampler, model=zoo("flux2-klein"), **given)
    assert_same(painted(engine, "flux2-klein", sampler=sampler, texts=(PROMPT, "")), theirs)


@pytest.mark.slow
@pytest.mark.parametrize("size", [(64, 128), (512, 32)])
def test_pictures_of_other_shapes_equal_those_of_the_pipeline(
    engine: Engine, zoo: Any, oracle: Oracle, size: tuple[int, int]
) -> None:
    zoo("flux2")
    theirs = theirs_of_dev(oracle, width=size[0], height=size[1])
    assert_same(painted(engine, "flux2", sampler="model", size=size), theirs)


@pytest.mark.parametrize("count", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_pictures_to_refer_to_equal_those_of_the_pipeline(
    engine: Engine, zoo: Any, oracle: Oracle, pictures: Path, count: int
) -> None:
    zoo("flux2")
    names = ("ramp.png", "stripes.png")[:count]
    theirs = theirs_of_dev(oracle, image=[Pictures.open(pictures / name).convert("RGB") for name in names])

    def lead(guide: Any, checkpoint: Any) -> Any:
        for name in names:
            guide = ReferenceGuide(guide, checkpoint.vae, LoadImage(name))
        return guide

    assert_same(painted(engine, "flux2", sampler="model", lead=lead), theirs)


@pytest.mark.slow
def test_a_lora_equals_that_of_the_pipeline(engine: Engine, zoo: Any, oracle: Oracle, models: Path) -> None:
    zoo("flux2")
    with with_lora(oracle, models, "flux2", r"attn\.to_|ff\.linear") as lora:
        theirs = theirs_of_dev(oracle)
    assert_same(painted(engine, "flux2", sampler="model", lora=lora), theirs)


def test_guidance_of_a_model_that_was_distilled_to_do_without_is_warned_of(
    engine: Engine, zoo: Any, models: Path
) -> None:
    shutil.copytree(models / zoo("flux2-klein"), models / "flux2-distilled", dirs_exist_ok=True)
    place = models / "flux2-distilled" / "model_index.json"
    place.write_text(json.dumps({**json.loads(place.read_text()), "is_distilled": True}))
    graphs = [picture_graph(name) for name in ("flux2-klein", "flux2-distilled")]
    graphs.append(picture_graph("flux2-distilled", scale=1.0))
    found = ["unusual-scale" in {one.code for one in engine.check(graph).warnings} for graph in graphs]
    assert found == [False, True, False]


def test_what_the_pipeline_does_not_take_is_refused_before_a_run(engine: Engine, zoo: Any) -> None:
    with refused("wrong-size", 16):
        engine.run(picture_graph(zoo("flux2"), size=(SIZE + 8, SIZE)))

    def lead(guide: Any, checkpoint: Any) -> Any:
        return ReferenceGuide(guide, checkpoint.vae, LoadImage("ramp.png"), clean=True)

    with refused("unsupported-by-model"):
        engine.run(picture_graph(zoo("flux2"), lead=lead))
