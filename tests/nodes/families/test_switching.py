"""A graph goes from any family to any other by its `source` alone; parts of two families are refused before a run."""

from __future__ import annotations

from itertools import permutations
from typing import Any, cast

import pytest

from tests.nodes.conftest import read_pixels
from tests.nodes.oracle import SIZE, VARIANTS
from tests.refusals import names
from weft.engine import Engine, Graph, Link
from weft.nodes import (
    ApplyControlNet,
    CFGGuide,
    EmptyLatent,
    KSampler,
    KSamplerAttention,
    LoadCheckpoint,
    LoadControlNet,
    LoadImage,
    SaveImage,
    TextEncode,
    VAEDecode,
    VAEEncode,
)
from weft.nodes.sampling.samplers import SAMPLERS, SamplerName

FAMILIES = {"epsilon": "SD1", "sd2": "SD2", "sdxl": "SDXL", "sd3": "SD3", "flux-dev": "FLUX"}
"""A checkpoint of each family that paints from text."""

RELATIVES = ("sd-turbo", "sdxl-turbo", "distilled", "sdxl-lcm", "sd3-short", "sd35", "flux-schnell")
"""What was distilled or made from them in other ways."""

PAIRS = tuple(permutations(FAMILIES, 2))

load: Any = LoadCheckpoint
load_control: Any = LoadControlNet


def painting(source: str, *, encoder: str = "", start: str = "", control: str = "") -> Graph:
    """A graph over a checkpoint, whose prompts, start and ControlNet may come from others."""
    with Graph() as graph:
        model = load(source, id="checkpoint")
        other = load(encoder, id="encoder") if encoder else model
        positive: Any = TextEncode(other.text_encoder, "a house")
        negative: Any = TextEncode(other.text_encoder, "night")
        if control:
            steered = ApplyControlNet(positive, negative, load_control(control, id="control"), LoadImage("stripes.png"))
            positive, negative = steered.positive, steered.negative
        given = VAEEncode(load(start, id="start").vae, LoadImage("ramp.png")) if start else None
        latent = KSampler(CFGGuide(model.model, positive, negative), given or EmptyLatent(SIZE, SIZE), steps=2)
        SaveImage(VAEDecode(model.vae, latent))
    return graph


@pytest.mark.wide
@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_another_source_is_another_family(zoo: Any, engine: Engine, one: str, other: str) -> None:
    zoo(one), zoo(other)
    switched = painting(one).set("checkpoint.source", other)
    assert read_pixels(engine.run(switched).paths).std() > 5


@pytest.mark.parametrize("other", RELATIVES)
def test_another_source_is_a_relative_of_a_family(zoo: Any, engine: Engine, other: str) -> None:
    graphs = [painting(zoo(one)).set("checkpoint.source", zoo(other)) for one in FAMILIES]
    assert all(graph == graphs[0] for graph in graphs)
    assert read_pixels(engine.run(graphs[0]).paths).std() > 5


@pytest.mark.parametrize("part", ["encoder", "start"])
@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_parts_of_two_families_are_refused(zoo: Any, engine: Engine, one: str, other: str, part: str) -> None:
    zoo(one), zoo(other)
    mixed = painting(one, encoder=other) if part == "encoder" else painting(one, start=other)
    problem = engine.check(mixed).problems[0]
    assert problem.code == "family-mismatch"
    assert names(problem, FAMILIES[one], "checkpoint", FAMILIES[other], part)


@pytest.mark.parametrize("other", list(FAMILIES)[1:])
def test_a_control_net_of_the_old_family_is_refused(zoo: Any, engine: Engine, other: str) -> None:
    assert not engine.check(painting("epsilon", control="edges")).problems
    switched = painting("epsilon", control="edges").set("checkpoint.source", zoo(other))
    assert any(
        problem.code == "family-mismatch" and names(problem, "SD1", "control", FAMILIES[other], "checkpoint")
        for problem in engine.check(switched).problems
    )


@pytest.mark.parametrize(("input", "setting"), [("prediction", "epsilon"), ("noise", "cosine")])
def test_how_a_flow_was_trained_cannot_be_set(zoo: Any, engine: Engine, input: str, setting: str) -> None:
    (problem,) = engine.check(painting(zoo("sd3")).set(f"checkpoint.{input}", setting)).problems
    assert (problem.code, problem.node, problem.input) == ("unsupported-by-model", "checkpoint", input)
    assert names(problem, "SD3")


@pytest.mark.parametrize(
    "sampler", [pytest.param(name, marks=[pytest.mark.slow] if name in VARIANTS else []) for name in SAMPLERS]
)
@pytest.mark.parametrize("other", FAMILIES)
def test_a_sampler_goes_with_another_family_or_is_refused_before_a_run(
    zoo: Any, engine: Engine, other: str, sampler: str
) -> None:
    """Both ends are named, and what is not refused runs."""
    switched = painting(zoo(other)).set("k_sampler.sampler", sampler)
    problems = engine.check(switched).problems
    flow = SAMPLERS[cast(SamplerName, sampler)].solvers.get("flow")
    able = flow and (flow.takes_sigmas or other != "flux-dev") if other in ("sd3", "flux-dev") else True
    assert bool(able) is not bool(problems)
    if able:
        assert read_pixels(engine.run(switched).paths).std() > 5
    else:
        assert (problems[0].code, problems[0].node) == ("sampler-cannot-follow", "k_sampler")
        assert names(problems[0], sampler, "checkpoint", FAMILIES[other])


def test_a_model_without_cross_attention_is_refused_before_a_run(engine: Engine, zoo: Any) -> None:
    with Graph(outputs={"image": Link("k_sampler_attention", "image")}) as graph:
        checkpoint = LoadCheckpoint(zoo("sd3"))
        guide = CFGGuide(checkpoint.model, TextEncode(checkpoint.text_encoder, "a house"))
        KSamplerAttention(guide, EmptyLatent(64, 64), "a house", ["house"])
    (problem,) = engine.check(graph).problems
    assert (problem.code, problem.node, problem.input) == ("unsupported-by-model", "k_sampler_attention", "guide")
    assert names(problem, "SD3")
