"""KSampler's own checks, seeds and edges; its pictures are held to diffusers in `test_oracle.py`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from PIL import Image as Pictures

from tests.refusals import names, refused
from weft.engine import Engine, Graph
from weft.nodes import CFGGuide, EmptyLatent, KSampler, Latent, LoadCheckpoint, SaveImage, TextEncode, VAEDecode

Call = Callable[..., Any]


def graph_of(**sampling: Any) -> Graph:
    with Graph() as graph:
        checkpoint = LoadCheckpoint("epsilon")
        guide = CFGGuide(checkpoint.model, TextEncode(checkpoint.text_encoder, "a house"))
        latent = KSampler(guide, EmptyLatent(64, 64), **{"steps": 3, **sampling})
        SaveImage(VAEDecode(checkpoint.vae, latent))
    return graph


@pytest.fixture(scope="module")
def guide(call: Call) -> Any:
    checkpoint = call(LoadCheckpoint, source="epsilon")
    positive = call(TextEncode, text_encoder=checkpoint.text_encoder, text="a house")
    return call(CFGGuide, model=checkpoint.model, positive=positive)


def test_a_pair_that_diffusers_cannot_do_lists_those_it_can(engine: Engine) -> None:
    (problem,) = engine.check(graph_of(sampler="ddim", schedule="karras")).problems
    assert (problem.code, problem.node, problem.input) == ("schedule-cannot-follow", "k_sampler", "schedule")
    assert names(problem, "model", "sgm_uniform")
    assert "dpmpp_2m" in problem.hint and "ddim" not in problem.hint


@pytest.mark.parametrize("options", [{"denoise": 0.5}, {"start_step": 1}, {"add_noise": False}])
def test_a_size_has_nothing_to_keep_which_is_refused_before_a_run(engine: Engine, options: dict[str, Any]) -> None:
    (problem,) = engine.check(graph_of(**options)).problems
    assert (problem.code, problem.node, problem.input) == ("empty-latent", "k_sampler", next(iter(options)))
    assert names(problem, "empty_latent")


def test_a_model_that_a_sampler_does_not_understand_is_refused_before_a_run(engine: Engine) -> None:
    (problem,) = engine.check(graph_of(sampler="pndm").set("load_checkpoint.prediction", "sample")).problems
    assert (problem.code, problem.node, problem.input) == ("sampler-cannot-follow", "k_sampler", "sampler")
    assert names(problem, "sample", "load_checkpoint", "SD1")
    assert "ddim" in problem.hint and "pndm" not in problem.hint


def test_eta_is_refused_where_it_would_do_nothing(engine: Engine) -> None:
    (problem,) = engine.check(graph_of(sampler="euler", eta=0.5)).problems
    assert (problem.code, problem.input) == ("unsupported-by-sampler", "eta") and "ddim" in problem.hint
    assert not engine.check(graph_of(sampler="ddim", eta=0.5)).problems


def test_a_seed_for_each_item(call: Call, guide: Any) -> None:
    both = call(KSampler, guide=guide, latent=EmptyLatent(64, 64, 2), seed=[9, 4], steps=3)
    one = call(KSampler, guide=guide, latent=EmptyLatent(64, 64), seed=4, steps=3)
    assert torch.allclose(both.samples[1:], one.samples, atol=1e-4)


def test_seeds_count_on_from_the_greatest_to_0(call: Call, guide: Any) -> None:
    both = call(KSampler, guide=guide, latent=EmptyLatent(64, 64, 2), seed=2**64 - 1, steps=3)
    zero = call(KSampler, guide=guide, latent=EmptyLatent(64, 64), seed=0, steps=3)
    assert torch.allclose(both.samples[1:], zero.samples, atol=1e-4)


def test_seeds_must_be_as_many_as_items(call: Call, guide: Any) -> None:
    with refused("batch-mismatch", 2, 1):
        call(KSampler, guide=guide, latent=EmptyLatent(64, 64), seed=[1, 2])


def test_a_size_has_nothing_to_keep(call: Call, guide: Any) -> None:
    with refused("empty-latent", "denoise"):
        call(KSampler, guide=guide, latent=EmptyLatent(64, 64), denoise=0.5)


def test_change_rises_with_denoise(call: Call, guide: Any) -> None:
    start = Latent[Any](64, 64, 1, torch.zeros(1, 4, 8, 8))
    moved = [
        float(call(KSampler, guide=guide, latent=start, steps=10, denoise=share).samples.abs().mean())
        for share in (0.0, 0.3, 0.6, 1.0)
    ]
    assert moved[0] == 0 and moved == sorted(moved)


def test_a_cancelled_run_stops_at_the_next_step(engine: Engine) -> None:
    steps: list[int] = []

    def listen(event: Any) -> None:
        if type(event).__name__ == "NodeProgress":
            steps.append(event.step)

    result = engine.execute(engine.plan(graph_of(steps=50)), listener=listen, cancelled=lambda: len(steps) >= 2)
    assert result.status == "cancelled" and not result.paths
    assert steps == [1, 2]


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_a_smaller_precision_paints_nearly_the_same(models: Path, tmp_path: Path, precision: str) -> None:
    def painted(running: str) -> Any:
        engine = Engine(store=None, device="cpu", precision=running, models=[models], output=tmp_path)
        return numpy.asarray(Pictures.open(engine.run(graph_of()).paths[0])).astype(int)

    difference = numpy.abs(painted(precision) - painted("float32"))
    assert 0 < difference.mean() < 3
