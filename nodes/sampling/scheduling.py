"""Which of diffusers' scheduler classes a sampler is for a model; known from configurations alone, without torch."""

from __future__ import annotations

from collections.abc import Mapping

from weft.engine import InputError
from weft.nodes.models.parametrisation import NEEDS_ZERO_SNR, Parametrisation, SchedulerConfig, parametrisation_of
from weft.nodes.sampling.samplers import (
    CHECKPOINT_SCHEDULERS,
    SAMPLERS,
    SIGMAS_ALONE,
    ZERO_SNR_SCHEDULERS,
    SamplerName,
    ScheduleName,
    samplers_of,
)


def scheduler_for(
    config: SchedulerConfig, sampler: SamplerName, schedule: ScheduleName
) -> tuple[str, Mapping[str, object]]:
    """The name of diffusers' class that a sampler is for a model, and the options that make it this sampler.

    Args:
        config: of the scheduler that the model came with.

    Raises:
        InputError: where the sampler cannot follow such a model.
    """
    if sampler == "model":
        own = _checkpoint_scheduler(config)
        _check_zero_snr(config, own, sampler)
        return own, {}
    if sampler in SIGMAS_ALONE:
        raise InputError(
            f"the sampler `{sampler}` needs an explicit list of sigmas", "link `sigmas` to MakeSigmas", "needs-sigmas"
        )
    model = parametrisation_of(config)
    solver = SAMPLERS[sampler].solver(model.kind)
    if solver is None or schedule not in solver.schedules:
        raise _refusal(model, sampler, schedule)
    _check_zero_snr(config, solver.scheduler, sampler)
    return solver.scheduler, {**solver.options, **model.solver_options}


def _check_zero_snr(config: SchedulerConfig, scheduler: str, sampler: SamplerName) -> None:
    """Raise `InputError` where the noise schedule must end in noise alone, and a class of diffusers cannot do that."""
    if config.get(NEEDS_ZERO_SNR) and scheduler not in ZERO_SNR_SCHEDULERS:
        able = [name for name, row in SAMPLERS.items() if row.scheduler in ZERO_SNR_SCHEDULERS]
        raise InputError(
            f"the sampler `{sampler}` ({scheduler}) has no noise schedule that ends in noise alone (zero terminal SNR)",
            f"choose one of: {', '.join(able)}",
            "sampler-cannot-follow",
        )


def _checkpoint_scheduler(config: SchedulerConfig) -> str:
    name = str(config.get("_class_name", ""))
    if name not in CHECKPOINT_SCHEDULERS:
        hint = f"choose one of: {', '.join(SAMPLERS)}"
        raise InputError(f"the model has the unsupported scheduler `{name}`", hint, "sampler-cannot-follow")
    return name


def _refusal(model: Parametrisation, sampler: SamplerName, schedule: ScheduleName) -> InputError:
    """Names the samplers that can follow the model on this schedule, or else on its own."""
    where = "" if schedule == "model" else f" on the schedule `{schedule}`"
    message = f"the sampler `{sampler}` cannot follow {model.title}{where}"
    if able := samplers_of(model.kind, schedule):
        return InputError(message, f"choose one of: {', '.join(able)}", "sampler-cannot-follow")
    if able := samplers_of(model.kind):
        return InputError(
            message, f"choose the schedule `model`, and one of: {', '.join(able)}", "schedule-cannot-follow"
        )
    return InputError(message, "choose the sampler `model`", "sampler-cannot-follow")
