"""How many steps diffusers' scheduler classes can make of a model's schedule; known without torch.

A class that indexes the timesteps of the training has no more than these. Solvers of several steps divide by the
distance of neighbouring levels, so that two equal timesteps end in values that are not finite.
"""

from __future__ import annotations

from collections.abc import Mapping

from weft.engine import InputError
from weft.nodes.models.parametrisation import SchedulerConfig
from weft.nodes.sampling.samplers import SPACING_FLAGS, SamplerName, ScheduleName, Solver

DISTILLED = ("LCMScheduler", "TCDScheduler")
"""Classes whose steps are taken from `original_inference_steps` (default 50) of the distillation."""

MOST_ALIGNED = 50
"""Steps into which timesteps that were optimised for 10 are interpolated; of more, two would be one timestep."""

INDEXING = ("DDIMScheduler", "DDPMScheduler", "PNDMScheduler")
"""Classes that read a table by the timestep; the default spacing of DDIM and PNDM is `leading`, as of DDPM."""

INTERPOLATING = (
    *("EulerDiscreteScheduler", "EulerAncestralDiscreteScheduler", "HeunDiscreteScheduler"),
    *("KDPM2DiscreteScheduler", "KDPM2AncestralDiscreteScheduler", "LMSDiscreteScheduler"),
)
"""Classes that interpolate levels between timesteps."""

MULTISTEP = (
    *("DPMSolverMultistepScheduler", "DEISMultistepScheduler"),
    *("UniPCMultistepScheduler", "SASolverScheduler"),
)
"""Classes that divide by the distance of neighbouring levels, of which they compute one more than steps."""

_SPACINGS: Mapping[ScheduleName, str] = {"sgm_uniform": "trailing", "linspace": "linspace"}

PRK_STEPS = 4
"""Steps whose timesteps PNDM's warm-up takes."""


def check_steps(
    config: SchedulerConfig, sampler: SamplerName, schedule: ScheduleName, solver: Solver, steps: int
) -> None:
    """Raise `InputError` where a class cannot make so many steps, or so few."""
    least, most = least_steps(config, solver.scheduler), most_steps(config, schedule, solver.scheduler)
    if most is not None and steps > most:
        raise InputError(
            f"the sampler `{sampler}` ({solver.scheduler}) can make {most} steps of this model's schedule, not {steps}",
            f"ask for at most {most}",
            "too-many-steps",
        )
    if steps < least:
        raise InputError(
            f"the sampler `{sampler}` ({solver.scheduler}) needs {least} steps of this model's schedule, not {steps}",
            f"ask for at least {least}, or choose another sampler",
            "too-few-steps",
        )


def least_steps(config: SchedulerConfig, scheduler: str) -> int:
    """The fewest steps that a class can make."""
    if scheduler == "PNDMScheduler" and not config.get("skip_prk_steps", False):
        return PRK_STEPS
    return 2 if _is_flow(config) and config.get("shift_terminal") else 1


def most_steps(config: SchedulerConfig, schedule: ScheduleName, scheduler: str) -> int | None:
    """The most steps that a class can make; None where there is no limit."""
    trained = int(config.get("num_train_timesteps", 1000))
    if schedule == "ays":
        return MOST_ALIGNED
    if scheduler in DISTILLED:
        return min(trained, int(config.get("original_inference_steps") or 50))
    if scheduler == "CMStochasticIterativeScheduler":
        return int(config.get("num_train_timesteps", 40))
    if scheduler == "DPMSolverSinglestepScheduler" and not config.get("use_flow_sigmas"):
        return trained
    if scheduler not in (*INDEXING, *INTERPOLATING, *MULTISTEP) or _is_flow(config):
        return None
    spacing = _SPACINGS.get(schedule) or _spacing(config, scheduler)
    if spacing == "leading":
        return _most_leading(config, scheduler, trained)
    if spacing == "trailing" or scheduler in INDEXING:
        return trained
    respaced = schedule in SPACING_FLAGS or any(config.get(flag) for flag in SPACING_FLAGS.values())
    return trained - 1 if scheduler in MULTISTEP and not respaced else None


def _most_leading(config: SchedulerConfig, scheduler: str, trained: int) -> int:
    """Steps whose first timestep, a multiple of a whole ratio with an offset, is one of the training's."""
    offset = int(config.get("steps_offset", 0))
    if scheduler in INTERPOLATING and scheduler != "LMSDiscreteScheduler":
        return trained  # A timestep beyond the last one counts as the last.
    further = 1 if scheduler in MULTISTEP else 0

    def fits(steps: int) -> bool:
        ratio = trained // (steps + further)
        return ratio > 0 and (steps - 1 + further) * ratio + offset < trained

    return next((steps for steps in range(trained, 0, -1) if fits(steps)), 1)


def _spacing(config: SchedulerConfig, scheduler: str) -> str:
    return str(config.get("timestep_spacing", "leading" if scheduler in INDEXING else "linspace"))


def _is_flow(config: SchedulerConfig) -> bool:
    return bool(config.get("use_flow_sigmas")) or str(config.get("_class_name", "")).startswith("FlowMatch")
