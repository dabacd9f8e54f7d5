"""Names of samplers and schedules as other programs write them are understood in hints."""

from __future__ import annotations

import inspect

import diffusers
import pytest

from weft.engine import Engine, Graph
from weft.nodes import EmptyLatent, KSampler, LoadCheckpoint, MakeSigmas
from weft.nodes.sampling.sampler_choices import meant_by_sampler, meant_by_schedule
from weft.nodes.sampling.samplers import SAMPLERS


@pytest.mark.parametrize(
    ("given", "sampler", "schedule"),
    [
        ("DPM++ 2M Karras", "dpmpp_2m", "karras"),
        ("DPM++ 2M SDE Karras", "dpmpp_2m_sde", "karras"),
        ("dpmpp_2m_sde_gpu", "dpmpp_2m_sde", ""),
        ("DPM++ 3M SDE Exponential", "dpmpp_3m_sde", "exponential"),
        ("dpm++", "dpmpp_2m", ""),
        ("Euler a", "euler_ancestral", ""),
        ("euler_a", "euler_ancestral", ""),
        ("k_euler", "euler", ""),
        ("uni_pc", "unipc", ""),
        ("dpm_2_ancestral", "dpm2_ancestral", ""),
        ("PLMS", "pndm", ""),
        ("DPMSolver", "dpmsolver_2m", ""),
        ("DPMSolverMultistepScheduler", "dpmpp_2m", ""),
    ],
)
def test_a_name_of_another_program_leads_to_what_to_write(given: str, sampler: str, schedule: str) -> None:
    words = meant_by_sampler(given).rstrip(".").split()
    assert sampler in words and (schedule in words if schedule else "`schedule`" not in words)


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_class_of_a_sampler_leads_to_one_of_that_class(name: str) -> None:
    found = meant_by_sampler(SAMPLERS[name].scheduler).rstrip(".").split()[-1]  # type: ignore[index]
    assert SAMPLERS[found].scheduler == SAMPLERS[name].scheduler  # type: ignore[index]
    assert inspect.isclass(getattr(diffusers, SAMPLERS[name].scheduler))  # type: ignore[index]


@pytest.mark.parametrize(
    ("given", "schedule"),
    [("Karras", "karras"), ("trailing", "sgm_uniform"), ("simple", "sgm_uniform"), ("normal", "linspace")],
)
def test_a_schedule_of_another_program_leads_to_one(given: str, schedule: str) -> None:
    assert schedule in meant_by_schedule(given)


def test_what_nobody_calls_anything_leads_nowhere() -> None:
    assert meant_by_sampler("banana") == meant_by_schedule("banana") == ""


def test_a_graph_says_what_to_write(engine: Engine) -> None:
    with Graph() as graph:
        KSampler(None, EmptyLatent(64, 64), sampler="DPM++ 2M Karras")  # type: ignore[arg-type]
        MakeSigmas(LoadCheckpoint("epsilon").model, schedule="trailing")  # type: ignore[arg-type]
    hints = {problem.input: problem.hint for problem in engine.check(graph).problems}
    assert "dpmpp_2m" in hints["sampler"].split() and "karras." in hints["sampler"].split()
    assert "sgm_uniform." in hints["schedule"].split()
