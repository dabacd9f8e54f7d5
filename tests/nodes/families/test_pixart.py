"""Pictures of PixArt equal those of diffusers' pipelines. `pytest -m "slow or not slow"` tries all of its samplers."""

from __future__ import annotations

from typing import Any

import pytest

from tests.nodes.families.text_pictures import painted, picture_graph
from tests.nodes.oracle import SIZE, Oracle, assert_same, diffusers
from tests.refusals import refused
from weft.engine import Engine
from weft.nodes import PerturbedAttention
from weft.nodes.sampling.samplers import SAMPLERS

QUICK = ("model", "euler", "dpmpp_2m_sde")

TAKEN = ("model", *(one for one in SAMPLERS if one != "sa_solver"))
"""All but the one whose class of diffusers does not take the configuration of PixArt's scheduler as it is."""

UNSIZED: dict[str, Any] = {"use_resolution_binning": False, "height": SIZE, "width": SIZE}
"""Pictures of the size that was asked for, in place of the nearest that PixArt was trained on."""


@pytest.mark.parametrize(
    "sampler",
    [pytest.param(one, marks=[] if one in QUICK else [pytest.mark.slow]) for one in TAKEN],
)
def test_a_picture_of_sigma_equals_that_of_the_pipeline(engine: Engine, zoo: Any, oracle: Oracle, sampler: str) -> None:
    batch = 2 if sampler == "model" else 1
    theirs = oracle.paint(diffusers.PixArtSigmaPipeline, sampler, model=zoo("pixart"), batch=batch, **UNSIZED)
    assert_same(painted(engine, "pixart", sampler=sampler, batch=batch), theirs)


@pytest.mark.parametrize("sampler", ["model", pytest.param("ddim", marks=pytest.mark.slow)])
def test_a_picture_of_alpha_that_reads_sizes_equals_that_of_the_pipeline(
    engine: Engine, zoo: Any, oracle: Oracle, sampler: str
) -> None:
    kind = diffusers.PixArtAlphaPipeline
    size: dict[str, Any] = {**UNSIZED, "width": 2 * SIZE}
    theirs = oracle.paint(kind, sampler, model=zoo("pixart-alpha"), **size)
    assert_same(painted(engine, "pixart-alpha", sampler=sampler, size=(2 * SIZE, SIZE)), theirs)


@pytest.mark.slow
def test_a_prompt_is_cut_where_the_pipeline_cuts_it(engine: Engine, zoo: Any, oracle: Oracle) -> None:
    texts = "A Long  prompt " * 12, ""
    given: dict[str, Any] = {"prompt": [texts[0]], "negative_prompt": [""], **UNSIZED}
    theirs = oracle.paint(diffusers.PixArtAlphaPipeline, "model", model=zoo("pixart-alpha"), **given)
    assert_same(painted(engine, "pixart-alpha", sampler="model", texts=texts), theirs)


@pytest.mark.slow
def test_perturbed_attention_equals_that_of_the_pipeline(engine: Engine, zoo: Any, oracle: Oracle) -> None:
    kind = diffusers.PixArtSigmaPAGPipeline
    applied: dict[str, Any] = {"parts": {"pag_applied_layers": "blocks.1"}, "pag_scale": 3.0}
    theirs = oracle.paint(kind, "model", model=zoo("pixart"), **applied, **UNSIZED)

    def lead(guide: Any, checkpoint: Any) -> Any:
        return PerturbedAttention(guide, scale=3.0, layers=["transformer_blocks.1"])

    assert_same(painted(engine, "pixart", sampler="model", lead=lead), theirs)


def test_a_size_that_is_no_multiple_of_a_patch_is_refused_before_a_run(engine: Engine, zoo: Any) -> None:
    with refused("wrong-size"):
        engine.run(picture_graph(zoo("pixart"), size=(SIZE + 8, SIZE)))
