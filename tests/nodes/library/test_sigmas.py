"""Noise levels as values, and KSampler over them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from torch import Tensor

from tests.nodes.families.tiny import PIPELINES
from tests.nodes.oracle import diffusers
from tests.refusals import names, refused
from weft.engine import Engine, Graph
from weft.nodes import (
    CFGGuide,
    EmptyLatent,
    FlipSigmas,
    KSampler,
    Latent,
    ListSigmas,
    LoadCheckpoint,
    MakeFlux2Sigmas,
    MakeSigmas,
    PlotSigmas,
    Sigmas,
    SplitSigmas,
    TextEncode,
)
from weft.nodes.sampling.sigma_samplers import SIGMA_SAMPLERS

Call = Callable[..., Any]

SIZE = EmptyLatent(64, 64)


def graph_of(**sampling: Any) -> Graph:
    with Graph() as graph:
        checkpoint = LoadCheckpoint("epsilon")
        guide = CFGGuide(checkpoint.model, TextEncode(checkpoint.text_encoder, "a house"), scale=1.0)
        KSampler(guide, EmptyLatent(64, 64), MakeSigmas(checkpoint.model, steps=4), **sampling)
    return graph


@pytest.fixture(scope="module")
def sampled(call: Call) -> Call:
    """KSampler's latents of a checkpoint under a prompt."""

    def run(source: str = "epsilon", latent: Any = SIZE, **given: Any) -> Tensor:
        checkpoint = call(LoadCheckpoint, source=source)
        prompt = call(TextEncode, text_encoder=checkpoint.text_encoder, text="a house")
        guide = call(CFGGuide, model=checkpoint.model, positive=prompt, scale=3.0)
        samples: Tensor = call(KSampler, guide=guide, latent=latent, seed=3, **given).samples
        return samples

    return run


def levels(call: Call, *given: float) -> Sigmas[Any]:
    made: Sigmas[Any] = call(ListSigmas, levels=list(given))
    return made


@pytest.mark.parametrize("schedule", ["model", "karras"])
def test_sigmas_of_a_model_are_those_that_euler_walks(call: Call, sampled: Call, schedule: str) -> None:
    made = call(MakeSigmas, model=call(LoadCheckpoint, source="v_prediction").model, steps=4, schedule=schedule)
    assert made.levels.dtype == torch.float32 and made.levels.shape == (5,) and made.levels[-1] == 0
    over_sigmas = sampled("v_prediction", sampler="euler", sigmas=made)
    assert torch.allclose(over_sigmas, sampled("v_prediction", sampler="euler", steps=4, schedule=schedule), atol=1e-3)
    assert repr(made) == "Sigmas(4 steps, 4.117 to 0)"


def test_sigmas_of_a_flow(call: Call, sampled: Call, models: Path) -> None:
    torch.manual_seed(0)
    PIPELINES["sd3-short"]().save_pretrained(models / "flow")
    made = call(MakeSigmas, model=call(LoadCheckpoint, source="flow").model, steps=4)
    ours, theirs = (sampled("flow", sampler="euler", **options) for options in ({"sigmas": made}, {"steps": 4}))
    assert made.levels[0] == 1 and torch.allclose(ours, theirs, atol=1e-3)


@pytest.mark.parametrize("sampler", ["euler", "heun", "dpm2", "ddim"])
def test_a_run_that_is_split_is_the_whole_run(call: Call, sampled: Call, sampler: str) -> None:
    whole = levels(call, 12, 5, 2, 1, 0.3, 0)
    parts = call(SplitSigmas, sigmas=whole, step=3)
    first = Latent[Any](64, 64, 1, sampled(sigmas=parts.before, sampler=sampler))
    assert parts.before.levels.tolist() == [12, 5, 2, 1] and parts.after.levels[0] == 1
    second = sampled(latent=first, sigmas=parts.after, sampler=sampler, add_noise=False)
    assert torch.allclose(second, sampled(sigmas=whole, sampler=sampler), atol=1e-4)


@pytest.mark.parametrize("sampler", ["heun", "dpm2", "dpmpp_2m"])
def test_a_picture_leads_up_to_noise_and_back(call: Call, sampled: Call, sampler: str) -> None:
    down = levels(call, *torch.logspace(0.5, -1, 13).tolist(), 0)
    up = call(FlipSigmas, sigmas=down, least=0.05)
    picture = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    noised = sampled(latent=Latent[Any](64, 64, 1, picture), sigmas=up, sampler=sampler, add_noise=False)
    back = sampled(latent=Latent[Any](64, 64, 1, noised), sigmas=down, sampler=sampler, add_noise=False)
    assert (back - picture).abs().mean() < 0.3 * (noised - picture).abs().mean()


def test_given_latents_go_under_the_noise_of_the_first_level(call: Call, sampled: Call) -> None:
    """A step over nearly nothing leaves them there."""
    still = levels(call, 2.0, 1.9999)
    zero = Latent[Any](64, 64, 1, torch.zeros(1, 4, 8, 8))
    noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(3))
    assert torch.allclose(sampled(latent=zero, sigmas=still, sampler="euler"), 2 * noise, atol=0.01)


def test_noise_that_is_not_kept_is_taken_out(call: Call, sampled: Call) -> None:
    part, whole = levels(call, 9, 3), levels(call, 9, 0)
    clean = sampled(sigmas=part, sampler="euler", keep_noise=False)
    assert torch.allclose(clean, sampled(sigmas=whole, sampler="euler"), atol=1e-5)


@pytest.mark.parametrize(
    ("options", "input", "code"),
    [
        ({"steps": 9}, "steps", "conflicting-inputs"),
        ({"denoise": 0.5}, "denoise", "conflicting-inputs"),
        ({"end_step": 3}, "end_step", "conflicting-inputs"),
        ({"sampler": "deis"}, "sampler", "unsupported-by-sampler"),
        ({"sampler": "heun", "eta": 0.5}, "eta", "unsupported-by-sampler"),
    ],
)
def test_what_sigmas_say_is_not_stated_twice(engine: Engine, options: Any, input: str, code: str) -> None:
    problems = engine.check(graph_of(**options)).problems
    assert [(one.node, one.input) for one in problems if one.code == code] == [("k_sampler", input)]


def test_a_sampler_over_sigmas_alone_says_so(engine: Engine) -> None:
    graph = graph_of(sampler="dpmpp_sde")
    assert "needs-sigmas" not in [one.code for one in engine.check(graph).problems]
    (problem, *_) = engine.check(graph.replace({"k_sampler.sigmas": None})).problems
    assert (problem.code, problem.input) == ("needs-sigmas", "sampler") and names(problem, "dpmpp_sde", "MakeSigmas")


def test_every_sampler_paints_over_sigmas(call: Call, sampled: Call) -> None:
    made = levels(call, 10, 3, 1, 0)
    painted = {name: sampled(sigmas=made, sampler=name) for name in SIGMA_SAMPLERS}
    assert all(samples.isfinite().all() for samples in painted.values())
    # DDIM without eta takes the steps of Euler.
    assert len({round(float(samples.sum()), 3) for samples in painted.values()}) == len(painted) - 1


@pytest.mark.parametrize("given", [[1.0], [1.0, -1.0], [3.0, 1.0, 2.0], [2.0, 2.0]])
def test_levels_that_are_no_way_are_refused(engine: Engine, call: Call, given: list[float]) -> None:
    with Graph() as graph:
        PlotSigmas(ListSigmas(given))
    found = [(one.node, one.input) for one in engine.check(graph).problems if one.code == "wrong-levels"]
    assert found == [("list_sigmas", "levels")]
    with refused("wrong-levels"):
        call(ListSigmas, levels=given)


def test_a_split_leaves_a_step_on_both_sides(call: Call) -> None:
    with refused("out-of-range", 2):
        call(SplitSigmas, sigmas=levels(call, 2, 1, 0), step=2)


def test_a_flip_begins_above_0(call: Call) -> None:
    down = levels(call, 2, 1, 0)
    assert call(FlipSigmas, sigmas=down, least=0.5).levels.tolist() == [0.5, 1, 2]
    assert down.levels.tolist() == [2, 1, 0]
    with refused("out-of-range", "least", 1):
        call(FlipSigmas, sigmas=levels(call, 2, 1, 0), least=1.0)


def test_a_plot_falls_from_left_to_right(call: Call) -> None:
    dark = call(PlotSigmas, sigmas=levels(call, 2, 1, 0)).pixels[0, :280, :, 0] < 0.5
    left, right = (int(dark[:, column].nonzero()[0]) for column in (60, 480))
    assert left < right and dark.shape == (280, 512)


@pytest.mark.parametrize(("side", "steps"), [(512, 8), (2048, 50)])
def test_levels_by_size_are_those_of_the_scheduler_of_flux_2(call: Call, side: int, steps: int) -> None:
    from diffusers.pipelines.flux2.pipeline_flux2 import compute_empirical_mu

    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, shift=3.0)
    mu = compute_empirical_mu((side // 16) ** 2, steps)
    scheduler.set_timesteps(sigmas=numpy.linspace(1, 1 / steps, steps).tolist(), mu=mu)
    ours = call(MakeFlux2Sigmas, width=side, height=side, steps=steps)
    assert torch.allclose(ours.levels, scheduler.sigmas, atol=1e-6)
