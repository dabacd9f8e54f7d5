"""Every sampler over every configuration that checkpoints come with: it ends in numbers, or is refused before a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.nodes.sampling.published_schedulers import PUBLISHED, STABLE
from tests.refusals import refused
from weft.engine import InputError
from weft.nodes.models.parametrisation import parametrisation_of
from weft.nodes.sampling.ancestral_levels import keep_finite
from weft.nodes.sampling.noise import generators_for
from weft.nodes.sampling.samplers import EVENLY_SPACED, EVERY_SCHEDULE, SAMPLERS, SPACED, SamplerName, ScheduleName
from weft.nodes.sampling.sampling_run import Position
from weft.nodes.sampling.scheduler_run import SchedulerRun, make_scheduler
from weft.nodes.sampling.scheduling import scheduler_for, solver_for
from weft.nodes.sampling.step_limits import least_steps, most_steps

REFUSALS = {"sampler-cannot-follow", "schedule-cannot-follow", "too-many-steps", "too-few-steps"}

NAMES: tuple[SamplerName, ...] = ("model", *SAMPLERS)

QUICK = ("sd1 pndm", "dpm singlestep", "unipc bh1 3", "flow karras", "qwen", "unipc flow", "ddpm learned range")
"""Configurations that every sampler is tried over by default; `-m slow` tries all, on all schedules."""


def half(latents: Tensor, timestep: Tensor, position: Position) -> Tensor:
    return latents / 2


def silent(step: int, steps: int, denoised: Any) -> None:
    """Progress that nobody listens to."""


def with_variance(latents: Tensor, timestep: Tensor, position: Position) -> Tensor:
    """A model that predicts a variance next to the noise."""
    return torch.cat([latents / 2, torch.zeros_like(latents)], dim=1)


def refusal_of(
    config: Mapping[str, Any], sampler: SamplerName, schedule: ScheduleName, steps: int, *, variance: bool = False
) -> str:
    """The code of the refusal before a run; empty where it ends in numbers.

    Args:
        variance: whether the model predicts a variance.
    """
    try:
        scheduler = make_scheduler(config, sampler, schedule, steps)
    except InputError as refusal:
        assert refusal.code in REFUSALS
        return refusal.code
    timing = {"mu": 0.8} if config.get("use_dynamic_shifting") else {}
    model, generators = parametrisation_of(config), generators_for([1])
    run = SchedulerRun(scheduler, model, steps=steps, generators=generators, timing=timing)
    assert (
        run.sample(with_variance if variance else half, run.from_noise(run.draw((4, 2, 2))), silent).isfinite().all()
    ), (
        sampler,
        schedule,
        steps,
    )
    return ""


@pytest.mark.parametrize("name", sorted(PUBLISHED.keys() - {"ddpm learned range"}))
def test_the_sampler_of_a_checkpoint_runs(name: str) -> None:
    assert refusal_of(PUBLISHED[name], "model", "model", 6) == ""
    assert refusal_of(PUBLISHED[name], "model", "model", 1) in ("", "too-few-steps")


@pytest.mark.parametrize("name", QUICK)
def test_every_sampler_runs_or_is_refused(name: str) -> None:
    for sampler in SAMPLERS:
        refusal_of(PUBLISHED[name], sampler, "model", 5, variance=name == "ddpm learned range" and sampler == "ddpm")


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLISHED)
def test_every_sampler_on_every_schedule_runs_or_is_refused(name: str) -> None:
    for sampler in SAMPLERS:
        for schedule in EVERY_SCHEDULE:
            for steps in (1, 2, 3, 4, 12):
                variance = name == "ddpm learned range" and sampler == "ddpm"
                refusal_of(PUBLISHED[name], sampler, schedule, steps, variance=variance)


@pytest.mark.parametrize(
    ("name", "follows"),
    [
        ("sd1 pndm", set(EVENLY_SPACED)),
        ("sd1 ddim", set(EVENLY_SPACED)),
        ("sdxl euler", set(EVERY_SCHEDULE)),
        ("turbo", set(SPACED)),
        ("dpm multistep", set(EVERY_SCHEDULE)),
        ("lcm", {"model"}),
        ("cosxl", {"model"}),
        ("sd3", {"model", "karras", "exponential", "beta"}),
        ("unipc flow", {"model"}),
        ("cm", {"model"}),
    ],
)
def test_the_sampler_of_a_checkpoint_follows_the_schedules_of_its_class(name: str, follows: set[str]) -> None:
    def follow(schedule: ScheduleName) -> bool:
        try:
            solver_for(PUBLISHED[name], "model", schedule)
        except InputError as refusal:
            assert refusal.code == "schedule-cannot-follow"
            return False
        return True

    assert {schedule for schedule in EVERY_SCHEDULE if follow(schedule)} == follows


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_sampler_of_a_checkpoint_takes_eta_where_its_class_does(name: str) -> None:
    config = PUBLISHED[name]
    if config["_class_name"] in ("DDIMScheduler", "TCDScheduler"):
        assert scheduler_for(config, "model", "model", 0.5)[0] == config["_class_name"]
        return
    with refused("unsupported-by-sampler", config["_class_name"], "ddim"):
        scheduler_for(config, "model", "model", 0.5)


def test_options_of_another_class_do_not_leak() -> None:
    for name in ("dpm multistep", "dpmsolver", "deis", "pixart"):
        made = make_scheduler(PUBLISHED[name], "sa_solver", "model")
        assert made.config.algorithm_type == "data_prediction"
    own = make_scheduler(PUBLISHED["sa solver noise"], "sa_solver", "model")
    assert (own.config.algorithm_type, own.config.predictor_order) == ("noise_prediction", 3)
    singlestep = {**PUBLISHED["dpm singlestep"], "lower_order_final": False}
    assert make_scheduler(singlestep, "unipc", "model").config.lower_order_final
    assert refusal_of(singlestep, "unipc", "model", 6) == ""
    assert make_scheduler(PUBLISHED["ddpm learned range"], "dpmpp_2m", "model").config.variance_type is None


@pytest.mark.parametrize("name", ["flow karras", "flow exponential", "flow beta"])
def test_flows_with_sigmas_of_their_own_are_followed_by_those_that_know_them(name: str) -> None:
    able = [sampler for sampler in NAMES if refusal_of(PUBLISHED[name], sampler, "model", 4) == ""]
    assert able == ["model", "euler", "lcm"]


def test_a_size_that_shifts_the_levels_is_refused_where_a_class_takes_none() -> None:
    with refused("sampler-cannot-follow", "heun", "euler"):
        make_scheduler(PUBLISHED["flux dev"], "heun", "model")


def test_pictures_that_grow_between_steps_are_refused() -> None:
    growing = {"_class_name": "FlowMatchLCMScheduler", "scale_factors": [0.5, 1.0]}
    for sampler in ("model", "lcm"):
        with refused("sampler-cannot-follow", "scale_factors", "euler"):
            make_scheduler(growing, sampler, "model")
    assert refusal_of(growing, "euler", "model", 4) == ""


def test_an_unknown_class_is_refused_with_the_samplers_that_can_follow() -> None:
    flow = {"_class_name": "FlowMatchNewScheduler"}
    with refused("sampler-cannot-follow", "FlowMatchNewScheduler", "unipc"):
        make_scheduler(flow, "model", "model")
    with pytest.raises(InputError) as caught:
        make_scheduler(flow, "model", "model")
    assert "ddim" not in caught.value.hint


LIMITS: tuple[tuple[SamplerName, dict[str, Any], int | None], ...] = (
    ("dpmpp_2m", {"timestep_spacing": "linspace"}, 999),
    ("dpmpp_2m", {"timestep_spacing": "leading", "steps_offset": 1}, 998),
    ("dpmpp_2m", {"timestep_spacing": "trailing"}, 1000),
    ("dpmpp_2s", {}, 1000),
    ("unipc", {"timestep_spacing": "leading", "steps_offset": 0}, 999),
    ("sa_solver", {"timestep_spacing": "linspace"}, 999),
    ("ddim", {"timestep_spacing": "leading", "steps_offset": 1}, 999),
    ("ddim", {"timestep_spacing": "leading", "steps_offset": 0}, 1000),
    ("ddpm", {"timestep_spacing": "trailing"}, 1000),
    ("pndm", {"timestep_spacing": "leading", "steps_offset": 1, "skip_prk_steps": True}, 999),
    ("lms", {"timestep_spacing": "trailing"}, 1000),
    ("euler", {"timestep_spacing": "leading", "steps_offset": 1}, 1000),
    ("euler", {"timestep_spacing": "linspace"}, None),
    ("lcm", {}, 50),
    ("tcd", {"original_inference_steps": 40}, 40),
)
"""A sampler, a configuration over Stable Diffusion's noise, and the most steps."""


@pytest.mark.parametrize(("sampler", "config", "most"), LIMITS)
def test_more_steps_than_a_class_can_make_are_refused(
    sampler: SamplerName, config: dict[str, Any], most: int | None
) -> None:
    own = {**STABLE, **config}
    assert most_steps(own, "model", SAMPLERS[sampler].scheduler) == most
    if most is not None:
        with refused("too-many-steps", most, most + 1):
            make_scheduler(own, sampler, "model", most + 1)


@pytest.mark.slow
@pytest.mark.parametrize(("sampler", "config", "most"), LIMITS)
def test_as_many_steps_as_a_class_can_make_end_in_numbers(
    sampler: SamplerName, config: dict[str, Any], most: int | None
) -> None:
    assert refusal_of({**STABLE, **config}, sampler, "model", most or 1500) == ""


@pytest.mark.parametrize(("name", "least"), [("sd1 pndm", 1), ("sd1 pndm prk", 4), ("qwen", 2), ("sd3", 1)])
def test_fewer_steps_than_a_class_needs_are_refused(name: str, least: int) -> None:
    config = PUBLISHED[name]
    assert least_steps(config, config["_class_name"]) == least
    assert refusal_of(config, "model", "model", least) == ""
    if least > 1:
        with refused("too-few-steps", least, least - 1):
            make_scheduler(config, "model", "model", least - 1)


def test_a_predicted_variance_is_read_by_ddpm_alone() -> None:
    config = PUBLISHED["ddpm learned range"]
    assert refusal_of(config, "model", "model", 4, variance=True) == ""
    assert refusal_of(config, "ddim", "model", 4, variance=True) == ""
    with refused("sampler-cannot-follow", "DDPMScheduler"):
        refusal_of(config, "model", "model", 4)


@pytest.mark.parametrize("sampler", ["euler_ancestral", "dpm2_ancestral"])
def test_levels_that_float32_loses_are_computed_exactly(sampler: SamplerName) -> None:
    """From a level of thousands to one of ones, where a step ends a little above zero before its noise is drawn."""
    config = {**PUBLISHED["ddpm thresholding"], "timestep_spacing": "linspace"}
    for steps in (2, 3, 4, 6):
        assert refusal_of(config, sampler, "model", steps) == ""
    plain = make_scheduler(PUBLISHED["sdxl euler"], sampler, "model")
    plain.set_timesteps(5)
    kept = plain.sigmas.clone(), plain.timesteps.clone()
    keep_finite(plain)
    assert all(map(torch.equal, kept, (plain.sigmas, plain.timesteps)))


@pytest.mark.parametrize("sampler", ["euler", "dpmpp_2m", "deis", "unipc"])
def test_every_sampler_of_a_flow_ends_at_its_terminal_level(sampler: SamplerName) -> None:
    config = PUBLISHED["qwen"]
    scheduler, model = make_scheduler(config, sampler, "model", 6), parametrisation_of(config)
    run = SchedulerRun(scheduler, model, steps=6, generators=generators_for([1]), timing={"mu": 0.8})
    levels = run.scheduler.sigmas
    assert float(levels[-2]) == pytest.approx(0.02, abs=1e-4) and (levels[:-1].diff() < 0).all()
    assert levels[-1] in (0, levels[-2])
    assert torch.allclose(run.timesteps.float(), levels[:-1] * 1000, atol=1.0)


LAST_LEVELS: dict[str, tuple[str, dict[str, Any]]] = {
    "unipc bh1": ("unipc", {"solver_type": "bh1"}),
    "unipc noise": ("unipc", {"predict_x0": False}),
    "dpmsolver": ("dpmsolver", {"final_sigmas_type": "zero"}),
    "dpm singlestep": ("dpm singlestep dpmsolver", {"final_sigmas_type": "zero"}),
}
"""Options whose classes cannot end at a level of 0, which is the default, in place of those of a published one."""


@pytest.mark.parametrize("name", LAST_LEVELS)
def test_options_that_cannot_end_at_a_level_of_0_are_refused(name: str) -> None:
    published, options = LAST_LEVELS[name]
    with refused("sampler-cannot-follow", str(PUBLISHED[published]["_class_name"])):
        solver_for({**PUBLISHED[published], **options}, "model", "model")
    assert refusal_of({**PUBLISHED[published], **options, "final_sigmas_type": "sigma_min"}, "model", "model", 5) == ""
    assert refusal_of({**PUBLISHED[published], **options}, "euler", "model", 5) == ""


@pytest.mark.parametrize("options", [{"predictor_order": 2, "corrector_order": 0}, {"beta_schedule": "unheard_of"}])
def test_what_a_class_raises_for_its_options_is_an_error_in_words(options: dict[str, Any]) -> None:
    with refused("sampler-cannot-follow", "SASolverScheduler"):
        refusal = refusal_of({**PUBLISHED["sa solver"], **options}, "model", "model", 5)
        assert refusal == "sampler-cannot-follow"
        make_scheduler({**PUBLISHED["sa solver"], **options}, "model", "model")
