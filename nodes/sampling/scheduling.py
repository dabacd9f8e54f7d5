"""Which of diffusers' scheduler classes a sampler is for a model; known from configurations alone, without torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from weft.engine import InputError
from weft.nodes.sampling.samplers import (
    OWN,
    OWN_ONLY,
    SAMPLERS,
    SIGMAS_ALONE,
    Prediction,
    SamplerName,
    ScheduleName,
    samplers_of,
    samplers_of_edm,
    samplers_of_flow,
)

EDM = "EDM"
"""What the names of the classes for models with EDM's preconditioning begin with (Karras et al., 2022, table 1)."""

FLOW: Mapping[str, object] = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}
"""What makes a solver of diffusion equations one of a flow; classes for flows alone know it already."""


def is_flow(name: str, config: Mapping[str, Any]) -> bool:
    """Whether a scheduler of this class and configuration leads a flow-matching model."""
    return name.startswith("FlowMatch") or bool(config.get("use_flow_sigmas"))


def settled(config: Mapping[str, Any]) -> frozenset[str]:
    """What of a scheduler's configuration no setting says otherwise, since the model has it by its kind."""
    own = str(config.get("_class_name", ""))
    if is_flow(own, config) or own in OWN_ONLY:
        return frozenset({"prediction_type", "beta_schedule"})
    return frozenset({"beta_schedule"}) if own.startswith(EDM) else frozenset()


def with_training(config: Mapping[str, Any], training: Mapping[str, str]) -> dict[str, Any]:
    """The scheduler's configuration of a model whose own configuration says wrongly, or not, how it was trained.

    Args:
        training: `prediction_type` and `beta_schedule`, in diffusers' words.

    Raises:
        InputError: where a model of this kind has no such choice: flows, consistency models, EDM's noise.
    """
    if settled(config) & training.keys():
        raise InputError("how a model of this kind was trained is settled", "leave `prediction` and `noise` out")
    # Without it, diffusers would take the betas that a configuration lists, whatever their schedule is called.
    listed = {"trained_betas": None} if "beta_schedule" in training else {}
    return {**config, **training, **listed}


def chosen(config: Mapping[str, Any], sampler: SamplerName, schedule: ScheduleName) -> tuple[str, Mapping[str, object]]:
    """The name of diffusers' class that a sampler is for a model, and the options that make it this sampler.

    Args:
        config: of the scheduler that the model came with.

    Raises:
        InputError: where the sampler cannot follow such a model.
    """
    own = str(config.get("_class_name", ""))
    if sampler == "model":
        if own not in OWN:
            hint = f"choose one of: {', '.join(SAMPLERS)}"
            raise InputError(f"the model came with `{own}`, which is no sampler of Weft's", hint)
        return own, {}
    if sampler in SIGMAS_ALONE:
        raise InputError(f"the sampler `{sampler}` walks sigmas alone", "link `sigmas` to MakeSigmas")
    if own in OWN_ONLY:
        raise InputError(f"the sampler `{sampler}` cannot follow a consistency model", "choose the sampler `model`")
    row = SAMPLERS[sampler]
    if is_flow(own, config):
        return _over_flow(sampler, schedule, config.get("shift", 1.0))
    if own.startswith(EDM):
        return _over_edm(sampler, schedule)
    prediction: Prediction = config.get("prediction_type", "epsilon")
    if prediction not in row.predictions:
        raise InputError(
            f"the sampler `{sampler}` cannot follow a model that predicts `{prediction}`",
            f"choose one of: {', '.join(samplers_of(prediction))}",
        )
    return row.scheduler, row.options


def _over_flow(sampler: SamplerName, schedule: ScheduleName, shift: float) -> tuple[str, Mapping[str, object]]:
    row = SAMPLERS[sampler]
    if row.flow is None or schedule not in row.flow.schedules:
        able = ", ".join(samplers_of_flow(schedule)) or f"another schedule than `{schedule}`"
        raise InputError(
            f"the sampler `{sampler}` cannot follow a flow-matching model on the schedule `{schedule}`",
            f"choose one of: {able}",
        )
    return row.flow.scheduler, {**row.options, **FLOW, "flow_shift": shift}


def _over_edm(sampler: SamplerName, schedule: ScheduleName) -> tuple[str, Mapping[str, object]]:
    row = SAMPLERS[sampler]
    if row.edm is None or schedule != "model":
        raise InputError(
            f"the sampler `{sampler}` cannot follow a model of EDM on the schedule `{schedule}`",
            f"choose the schedule `model`, and one of: {', '.join(samplers_of_edm())}",
        )
    return row.edm, row.options
