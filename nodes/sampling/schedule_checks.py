"""Static checks of samplers and schedules: whether they can follow what a model predicts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from weft.engine import InputError, NodeProblem, Upstream
from weft.nodes.sampling.aligned_steps import check_aligned
from weft.nodes.sampling.model_links import Loaded, loaded, model_loader_of
from weft.nodes.sampling.samplers import SAMPLERS, SamplerName, ScheduleName
from weft.nodes.sampling.scheduling import ChainOptions, check_timing, scheduler_for, solver_for
from weft.nodes.sampling.step_limits import check_steps


def follows(sampler: Upstream, model: Loaded) -> Iterator[NodeProblem]:
    """The sampler must be able to follow what the model predicts, on the schedule."""
    name, schedule = sampler.literals.get("sampler"), sampler.literals.get("schedule")
    if name is None or schedule is None or sampler.literals.get("sigmas", "linked") is not None:
        return
    row = SAMPLERS.get(name)
    if row and schedule not in row.schedules:
        return  # KSampler's own check names this pair, which no model can follow.
    yield from _schedule_fits(model, name, schedule, sampler.literals)


def _schedule_fits(
    model: Loaded, sampler: SamplerName, schedule: ScheduleName, given: Mapping[str, Any]
) -> Iterator[NodeProblem]:
    """The class that a sampler is for a model must make the steps that are asked for, with their eta."""
    config = model.scheduler_config(sampler == "model")
    checked = "sampler"
    try:
        solver = solver_for(config, sampler, schedule)
        check_timing(config, sampler, solver, model.family.denoiser.spaces_steps)
        check_aligned(schedule, model.family.denoiser.aligned_steps, model.family.name)
        checked = "eta"
        eta = given.get("eta") if sampler == "model" else None  # KSampler's own check knows the samplers by name.
        scheduler_for(config, sampler, schedule, eta or 0.0)
        if sampler == "model":
            checked = "variance" if given.get("variance", "model") != "model" else "clip"
            chain = ChainOptions(given.get("variance") or "model", given.get("clip"))
            scheduler_for(config, sampler, schedule, chain=chain)
        checked = "steps"
        if (steps := given.get("steps")) is not None:
            check_steps(config, sampler, schedule, solver, steps)
    except InputError as refusal:
        at = "schedule" if refusal.code == "schedule-cannot-follow" and schedule != "model" else checked
        yield NodeProblem.of(refusal, at, after=f"; {model}")


def sigmas_fit(maker: Upstream) -> Iterator[NodeProblem]:
    """The model of a MakeSigmas must have levels as `euler` walks them, on the schedule and in so many steps."""
    loader, schedule = model_loader_of(maker), maker.literals.get("schedule")
    model = loaded(loader) if loader else None
    if model is None or schedule is None:
        return
    for problem in _schedule_fits(model, "euler", schedule, maker.literals):
        yield replace(problem, input="model") if problem.input == "sampler" else problem
    if model.scheduler.get("use_dynamic_shifting") and maker.call.inputs.get("latent") is None:
        message = f"the model's noise levels depend on the picture's size; {model}"
        yield NodeProblem("latent", message, "link `latent`", "missing-input")


def noise_fits(node: Upstream) -> Iterator[NodeProblem]:
    """The model of an AddNoise must have the step that it names, of the sampler and the schedule."""
    loader, given = model_loader_of(node), node.literals
    model, sampler, schedule = loaded(loader) if loader else None, given.get("sampler"), given.get("schedule")
    chosen = given.get("sigmas", "linked") is None and given.get("timestep", 0) is None
    if model and sampler and schedule and chosen:
        yield from _schedule_fits(model, sampler, schedule, given)
