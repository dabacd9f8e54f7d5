"""Which of diffusers' scheduler classes a sampler is for a model; known from configurations alone, without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from weft.engine import InputError
from weft.nodes.models.parametrisation import (
    NEEDS_ZERO_SNR,
    Parametrisation,
    SchedulerConfig,
    parametrisation_of,
)
from weft.nodes.sampling.samplers import (
    CHECKPOINT_SCHEDULERS,
    SAMPLERS,
    SIGMAS_ALONE,
    SPACING_FLAGS,
    ZERO_SNR_SCHEDULERS,
    SamplerName,
    ScheduleName,
    Solver,
    samplers_of,
    samplers_that_take_eta,
    samplers_that_take_shift,
    samplers_that_take_sigmas,
    solver_of_class,
)

Variance = Literal["model", "fixed_small", "fixed_small_log", "fixed_large", "fixed_large_log"]
"""The variance of the noise in DDPM's steps, by diffusers' names."""


@dataclass(frozen=True)
class ChainOptions:
    """What is overridden of how a sampler takes the steps of the training's own chain.

    Args:
        variance: of the noise in DDPM's steps; `model` is that of the configuration.
        clip: whether the x_0 of each step is clipped to -1..1; None is as the configuration has it.
    """

    variance: Variance = "model"
    clip: bool | None = None

    def options(self, scheduler: str, sampler: SamplerName) -> Mapping[str, object]:
        """The options of a class of diffusers.

        Raises:
            InputError: where the class has none of this kind.
        """
        found: dict[str, object] = {}
        for name, given, able in (
            ("variance", self.variance != "model", TAKE_VARIANCE),
            ("clip", self.clip is not None, TAKE_CLIPPING),
        ):
            if given and scheduler not in able.values():
                raise InputError(
                    f"the sampler `{sampler}` ({scheduler}) takes no `{name}`",
                    f"leave it out, or choose: {', '.join(able)}",
                    "unsupported-by-sampler",
                )
        if self.variance != "model":
            found["variance_type"] = self.variance
        return found if self.clip is None else {**found, "clip_sample": self.clip}


OF_THE_MODEL = ChainOptions()

TAKE_VARIANCE: Mapping[SamplerName, str] = {"ddpm": "DDPMScheduler"}
"""The samplers whose steps have a choice of variance, with their classes."""

TAKE_CLIPPING: Mapping[SamplerName, str] = {"ddpm": "DDPMScheduler", "ddim": "DDIMScheduler"}
"""The samplers that may clip the x_0 of each step, with their classes."""


def scheduler_for(
    config: SchedulerConfig,
    sampler: SamplerName,
    schedule: ScheduleName,
    eta: float = 0.0,
    chain: ChainOptions = OF_THE_MODEL,
) -> tuple[str, Mapping[str, object]]:
    """The name of diffusers' class that a sampler is for a model, and the options that make it this sampler.

    Args:
        config: of the scheduler that the model came with.
        eta: DDIM's share of fresh noise.
        chain: what is overridden of the model's own chain.

    Raises:
        InputError: where the sampler cannot follow such a model on this schedule, or takes no such option.
    """
    solver = solver_for(config, sampler, schedule)
    if eta and not solver.takes_eta:
        raise InputError(
            f"the sampler `{sampler}` ({solver.scheduler}) takes no eta",
            f"leave it at 0, or choose: {', '.join(samplers_that_take_eta())}",
            "unsupported-by-sampler",
        )
    overridden = chain.options(solver.scheduler, sampler)
    return solver.scheduler, {**_usable(config, solver), **solver.options, **overridden}


def solver_for(config: SchedulerConfig, sampler: SamplerName, schedule: ScheduleName) -> Solver:
    """The class that a sampler is for a model, with what it can do.

    Raises:
        InputError: where the sampler cannot follow such a model on this schedule.
    """
    if sampler in SIGMAS_ALONE:
        raise InputError(
            f"the sampler `{sampler}` needs an explicit list of sigmas", "link `sigmas` to MakeSigmas", "needs-sigmas"
        )
    model = parametrisation_of(config)
    found = _own(config, model) if sampler == "model" else SAMPLERS[sampler].solver(model.kind)
    if found is None or schedule not in found.schedules:
        raise _refusal(model, sampler, schedule, found)
    if sampler != "model":
        _check_spacing(config, model, sampler, schedule, found)
        found = replace(found, options={**found.options, **model.solver_options})
    _check_zero_snr(config, found.scheduler, sampler)
    _check_one_size(config, found.scheduler, sampler)
    _check_last_level(config, found, sampler)
    return found


SHIFT_LINEARLY = ("FlowMatchEulerDiscreteScheduler", "FlowMatchLCMScheduler")
"""The classes that know `time_shift_type` `linear`."""


def check_timing(config: SchedulerConfig, sampler: SamplerName, solver: Solver, spaces_steps: bool) -> None:
    """Raise `InputError` where a model's own spacing of steps is not taken by a class.

    Args:
        spaces_steps: whether the model gives the levels of its steps.
    """
    kind = parametrisation_of(config).kind
    if config.get("use_dynamic_shifting") and not solver.takes_shift:
        raise InputError(
            f"the sampler `{sampler}` ({solver.scheduler}) cannot shift its steps by the size of the picture, as the "
            "model asks",
            f"choose one of: {', '.join(samplers_that_take_shift(kind))}",
            "sampler-cannot-follow",
        )
    linear = config.get("use_dynamic_shifting") and config.get("time_shift_type") == "linear"
    if linear and solver.scheduler not in SHIFT_LINEARLY:
        solvers = {name: SAMPLERS[name].solver(kind) for name in samplers_of(kind)}
        able = [name for name, one in solvers.items() if one and one.scheduler in SHIFT_LINEARLY]
        raise InputError(
            f"the sampler `{sampler}` ({solver.scheduler}) cannot shift its steps linearly, as the model asks",
            f"choose one of: {', '.join(able)}",
            "sampler-cannot-follow",
        )
    if spaces_steps and not solver.takes_sigmas:
        raise InputError(
            f"the sampler `{sampler}` ({solver.scheduler}) cannot space its steps as the model asks",
            f"choose one of: {', '.join(samplers_that_take_sigmas(kind))}",
            "sampler-cannot-follow",
        )


def _own(config: SchedulerConfig, model: Parametrisation) -> Solver:
    """The class that the model came with."""
    name = str(config.get("_class_name", ""))
    if name not in CHECKPOINT_SCHEDULERS:
        hint = f"choose one of: {', '.join(samplers_of(model.kind))}"
        raise InputError(f"the model has the unsupported scheduler `{name}`", hint, "sampler-cannot-follow")
    return solver_of_class(name, model.kind)


SA_SOLVER_TYPES = ("data_prediction", "noise_prediction")
"""The values of `algorithm_type` that SASolverScheduler knows; those of DPM-Solver and DEIS mean something else.

diffusers' other classes replace a foreign `algorithm_type` or `solver_type` themselves.
"""

LEARNED = ("learned", "learned_range")
"""Values of `variance_type` for networks that predict a variance next to the noise."""


def _usable(config: SchedulerConfig, solver: Solver) -> Mapping[str, object]:
    """Replacements for options of the configuration that the class cannot use."""
    name, changed = solver.scheduler, dict[str, object]()
    if name == "SASolverScheduler" and config.get("algorithm_type", SA_SOLVER_TYPES[0]) not in SA_SOLVER_TYPES:
        changed["algorithm_type"] = SA_SOLVER_TYPES[0]
    # UniPC's last step goes to a level of 0, which its second order divides by.
    if name == "UniPCMultistepScheduler" and config.get("final_sigmas_type", "zero") == "zero":
        changed["lower_order_final"] = True
    # What a network predicts of the variance is left out of its prediction, but for a DDPM scheduler of its own.
    if config.get("variance_type") in LEARNED and not (name == config.get("_class_name") == "DDPMScheduler"):
        changed["variance_type"] = "fixed_small" if name == "DDPMScheduler" else None
    return changed


def _check_spacing(
    config: SchedulerConfig, model: Parametrisation, sampler: SamplerName, schedule: ScheduleName, solver: Solver
) -> None:
    """Raise `InputError` where a flow came with karras, exponential or beta sigmas, and a class has only plain ones."""
    own = next((name for name, flag in SPACING_FLAGS.items() if config.get(flag)), None)
    if own is None or schedule != "model" or not model.keeps_schedule or own in solver.schedules:
        return
    raise InputError(
        f"the sampler `{sampler}` cannot follow {model.title} on the schedule `{own}`, which the model came with",
        f"choose one of: {', '.join(samplers_of(model.kind, own))}",
        "schedule-cannot-follow",
    )


def _check_zero_snr(config: SchedulerConfig, scheduler: str, sampler: SamplerName) -> None:
    """Raise `InputError` where the noise schedule must end in noise alone, and a class of diffusers cannot do that."""
    if config.get(NEEDS_ZERO_SNR) and scheduler not in ZERO_SNR_SCHEDULERS:
        able = [name for name, row in SAMPLERS.items() if row.scheduler in ZERO_SNR_SCHEDULERS]
        raise InputError(
            f"the sampler `{sampler}` ({scheduler}) has no noise schedule that ends in noise alone (zero terminal SNR)",
            f"choose one of: {', '.join(able)}",
            "sampler-cannot-follow",
        )


def _check_one_size(config: SchedulerConfig, scheduler: str, sampler: SamplerName) -> None:
    """Raise `InputError` where the class would make small pictures first and enlarge them between steps."""
    if scheduler == "FlowMatchLCMScheduler" and config.get("scale_factors"):
        others = (one for one in samplers_of(parametrisation_of(config).kind) if one != "lcm")
        raise InputError(
            f"the sampler `{sampler}` ({scheduler}) cannot enlarge pictures between steps, as the model has it "
            "(`scale_factors`)",
            f"choose one of: {', '.join(others)}",
            "sampler-cannot-follow",
        )


def _check_last_level(config: SchedulerConfig, solver: Solver, sampler: SamplerName) -> None:
    """Raise `InputError` where a class's options compute with the logarithm of the last level, which is 0."""
    given = {**config, **solver.options}
    if given.get("final_sigmas_type", "zero") != "zero":
        return
    name, algorithm = solver.scheduler, given.get("algorithm_type", "dpmsolver++")
    found = ""
    if name == "UniPCMultistepScheduler":
        found = "`predict_x0` false" if given.get("predict_x0") is False else ""
        found = found or ("`solver_type` bh1" if given.get("solver_type") == "bh1" else "")
    elif name in ("DPMSolverMultistepScheduler", "DPMSolverSinglestepScheduler"):
        found = f"`algorithm_type` {algorithm}" if algorithm in ("dpmsolver", "sde-dpmsolver") else ""
    if found:
        others = (one for one in samplers_of(parametrisation_of(config).kind) if one != sampler)
        raise InputError(
            f"the sampler `{sampler}` ({name}) cannot walk to a last level of 0 with {found}, as the model has it",
            f"choose one of: {', '.join(others)}",
            "sampler-cannot-follow",
        )


def _refusal(model: Parametrisation, sampler: SamplerName, schedule: ScheduleName, found: Solver | None) -> InputError:
    """Names the samplers that can follow the model on this schedule, or else on its own."""
    title = f"`{sampler}` ({found.scheduler})" if found and sampler == "model" else f"`{sampler}`"
    where = "" if schedule == "model" else f" on the schedule `{schedule}`"
    message = f"the sampler {title} cannot follow {model.title}{where}"
    able = samplers_of(model.kind, schedule)
    if able and found:
        return InputError(message, f"choose one of: {', '.join(able)}", "schedule-cannot-follow")
    if able:
        return InputError(message, f"choose one of: {', '.join(able)}", "sampler-cannot-follow")
    if able := samplers_of(model.kind):
        return InputError(
            message, f"choose the schedule `model`, and one of: {', '.join(able)}", "schedule-cannot-follow"
        )
    if found:
        return InputError(message, "choose the schedule `model`", "schedule-cannot-follow")
    return InputError(message, "choose the sampler `model`", "sampler-cannot-follow")
