"""Align Your Steps: diffusers' timesteps, interpolated for other numbers of steps, for the models that they are for."""

from __future__ import annotations

from itertools import pairwise

import pytest

from tests.nodes.oracle import diffusers
from tests.nodes.sampling.published_schedulers import STABLE
from tests.refusals import refused
from weft.engine import Engine, Graph
from weft.nodes import CFGGuide, EmptyLatent, KSampler, LoadCheckpoint, SaveImage, TextEncode, VAEDecode
from weft.nodes.models.parametrisation import parametrisation_of
from weft.nodes.sampling.aligned_steps import aligned_timesteps, check_aligned
from weft.nodes.sampling.step_limits import MOST_ALIGNED

AysSchedules = diffusers.schedulers.AysSchedules

NAMES = ("StableDiffusion", "StableDiffusionXL")


@pytest.mark.parametrize("name", NAMES)
def test_any_number_of_steps_falls_from_the_first_timestep_to_the_last(name: str) -> None:
    model = parametrisation_of(STABLE)
    for steps in range(1, MOST_ALIGNED + 1):
        found = aligned_timesteps(name, model, steps)
        assert len(found) == steps and all(later < earlier for earlier, later in pairwise(found))
        assert found[0] == 999 and (steps == 1 or found[-1] == AysSchedules[f"{name}Timesteps"][-1])


@pytest.mark.parametrize("name", NAMES)
def test_twenty_steps_pass_near_the_ten(name: str) -> None:
    """Every other level of 19 steps is one of the ten."""
    found = aligned_timesteps(name, parametrisation_of(STABLE), 19)
    assert found[::2] == pytest.approx(AysSchedules[f"{name}Timesteps"], abs=1)
    assert aligned_timesteps(name, parametrisation_of(STABLE), 10) == AysSchedules[f"{name}Timesteps"]


def test_models_without_such_timesteps_are_refused() -> None:
    with refused("schedule-cannot-follow", "SD2"):
        check_aligned("ays", "", "SD2")


def test_a_graph_is_refused_before_it_runs(engine: Engine) -> None:
    with Graph() as graph:
        checkpoint = LoadCheckpoint("epsilon")
        guide = CFGGuide(checkpoint.model, TextEncode(checkpoint.text_encoder, "a house"))
        latent = KSampler(guide, EmptyLatent(64, 64), schedule="ays", steps=60)
        SaveImage(VAEDecode(checkpoint.vae, latent))
    (problem,) = engine.check(graph).problems
    assert (problem.code, problem.input) == ("too-many-steps", "steps")
    (problem,) = engine.check(graph.replace({"k_sampler.sampler": "ddim", "k_sampler.steps": 10})).problems
    assert (problem.code, problem.input) == ("schedule-cannot-follow", "schedule") and "euler" in problem.hint
