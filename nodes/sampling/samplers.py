"""The samplers and schedules that KSampler offers, as a table over diffusers' scheduler classes.

A sampler is a row: the class, the options that make it this sampler, and what the class can do. Nothing here imports
torch or diffusers; that the table tells the truth about the classes is tested
(`tests/nodes/sampling/test_samplers.py`).

Read next: `weft.nodes.sampling.stepper`, which makes a running scheduler out of a row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

SamplerName = Literal[
    "model",
    "ddpm",
    "ddim",
    "pndm",
    "lms",
    "euler",
    "euler_ancestral",
    "heun",
    "dpm2",
    "dpm2_ancestral",
    "dpmpp_2m",
    "dpmpp_2m_sde",
    "dpmpp_sde",
    "dpmpp_2s",
    "dpmpp_3m",
    "deis",
    "unipc",
    "sa_solver",
    "lcm",
    "tcd",
]

ScheduleName = Literal["model", "karras", "exponential", "beta", "sgm_uniform"]

Prediction = Literal["epsilon", "v_prediction", "sample"]
"""What a model predicts under a noise schedule; flow-matching models predict a velocity from noise to picture."""

EVERY_SCHEDULE: tuple[ScheduleName, ...] = get_args(ScheduleName)
SPACED: tuple[ScheduleName, ...] = ("model", "sgm_uniform")
SIGMAS: tuple[ScheduleName, ...] = ("model", "karras", "exponential", "beta")

EVERY_PREDICTION: frozenset[Prediction] = frozenset(get_args(Prediction))
NO_SAMPLE: frozenset[Prediction] = EVERY_PREDICTION - {"sample"}


@dataclass(frozen=True)
class Flow:
    """How a sampler follows a flow-matching model.

    Args:
        scheduler: the name of diffusers' class.
        schedules: the schedules that the class can follow over a flow.
        told_spacing: whether the class takes the spacing of a model that spaces its steps itself.
    """

    scheduler: str
    schedules: tuple[ScheduleName, ...] = ("model",)
    told_spacing: bool = True


@dataclass(frozen=True)
class Sampler:
    """A row of the table.

    Args:
        scheduler: the name of diffusers' class.
        schedules: the schedules that the class can follow.
        options: the configuration that makes the class this sampler, laid over the checkpoint's own.
        predictions: what a model may predict for the class to understand it.
        takes_eta: whether a step takes DDIM's eta, the share of fresh noise.
        flow: what it is for a flow-matching model; None where there is no such sampler.
        edm: the name of diffusers' class for a model with EDM's preconditioning, which has one schedule.
    """

    scheduler: str
    schedules: tuple[ScheduleName, ...] = EVERY_SCHEDULE
    options: Mapping[str, object] = field(default_factory=dict)
    predictions: frozenset[Prediction] = EVERY_PREDICTION
    takes_eta: bool = False
    flow: Flow | None = None
    edm: str | None = None


SECOND_ORDER = {"algorithm_type": "dpmsolver++", "solver_order": 2}

MULTISTEP: Mapping[str, Any] = {
    "scheduler": "DPMSolverMultistepScheduler",
    "flow": Flow("DPMSolverMultistepScheduler"),
    "edm": "EDMDPMSolverMultistepScheduler",
}

SAMPLERS: Mapping[SamplerName, Sampler] = {
    "ddpm": Sampler("DDPMScheduler", SPACED),
    "ddim": Sampler("DDIMScheduler", SPACED, takes_eta=True),
    "pndm": Sampler("PNDMScheduler", SPACED, predictions=NO_SAMPLE),
    "lms": Sampler("LMSDiscreteScheduler"),
    "euler": Sampler(
        "EulerDiscreteScheduler", flow=Flow("FlowMatchEulerDiscreteScheduler", SIGMAS), edm="EDMEulerScheduler"
    ),
    "euler_ancestral": Sampler("EulerAncestralDiscreteScheduler", SPACED, predictions=NO_SAMPLE),
    "heun": Sampler("HeunDiscreteScheduler", flow=Flow("FlowMatchHeunDiscreteScheduler", told_spacing=False)),
    "dpm2": Sampler("KDPM2DiscreteScheduler", predictions=NO_SAMPLE),
    "dpm2_ancestral": Sampler("KDPM2AncestralDiscreteScheduler", predictions=NO_SAMPLE),
    "dpmpp_2m": Sampler(**MULTISTEP, options=SECOND_ORDER),
    "dpmpp_2m_sde": Sampler(**MULTISTEP, options={**SECOND_ORDER, "algorithm_type": "sde-dpmsolver++"}),
    "dpmpp_2s": Sampler("DPMSolverSinglestepScheduler", SIGMAS, SECOND_ORDER),
    "dpmpp_3m": Sampler(**MULTISTEP, options={**SECOND_ORDER, "solver_order": 3}),
    "deis": Sampler("DEISMultistepScheduler", options={"algorithm_type": "deis"}, flow=Flow("DEISMultistepScheduler")),
    "unipc": Sampler("UniPCMultistepScheduler", flow=Flow("UniPCMultistepScheduler")),
    "sa_solver": Sampler("SASolverScheduler"),
    "lcm": Sampler("LCMScheduler", ("model",)),
    "tcd": Sampler("TCDScheduler", ("model",), takes_eta=True),
}
"""Every sampler but `model`, which is the one that a checkpoint came with, and those over sigmas alone.

Singlestep DPM-Solver has one spacing of timesteps; LCM and TCD have the steps that they were distilled on.
"""

SIGMAS_ALONE: frozenset[SamplerName] = frozenset({"dpmpp_sde"})
"""Samplers that no class of diffusers is: the one for `dpmpp_sde` draws one noise, whatever the seeds."""

OWN_ONLY: frozenset[str] = frozenset({"CMStochasticIterativeScheduler"})
"""Classes of schedulers whose models no other sampler understands: consistency models."""

OWN: frozenset[str] = OWN_ONLY.union(
    (row.scheduler for row in SAMPLERS.values()),
    (row.flow.scheduler for row in SAMPLERS.values() if row.flow),
    (row.edm for row in SAMPLERS.values() if row.edm),
)
"""Classes of schedulers that a checkpoint may come with and the sampler `model` take."""

_PLAIN_SIGMAS = {"use_karras_sigmas": False, "use_exponential_sigmas": False, "use_beta_sigmas": False}

SCHEDULES: Mapping[ScheduleName, Mapping[str, object]] = {
    "model": {},
    "karras": {**_PLAIN_SIGMAS, "use_karras_sigmas": True},
    "exponential": {**_PLAIN_SIGMAS, "use_exponential_sigmas": True},
    "beta": {**_PLAIN_SIGMAS, "use_beta_sigmas": True},
    "sgm_uniform": {**_PLAIN_SIGMAS, "timestep_spacing": "trailing"},
}
"""How each schedule is asked for in a scheduler's configuration; `model` keeps the checkpoint's own spacing."""


def samplers_for(schedule: ScheduleName) -> tuple[SamplerName, ...]:
    """The samplers that can follow a schedule."""
    return tuple(name for name, sampler in SAMPLERS.items() if schedule in sampler.schedules)


def samplers_of_flow(schedule: ScheduleName = "model") -> tuple[SamplerName, ...]:
    """The samplers that can follow a schedule over a flow-matching model."""
    return tuple(name for name, sampler in SAMPLERS.items() if sampler.flow and schedule in sampler.flow.schedules)


def samplers_told_spacing() -> tuple[SamplerName, ...]:
    """The samplers that can follow a flow-matching model which spaces its steps itself."""
    return tuple(name for name, sampler in SAMPLERS.items() if sampler.flow and sampler.flow.told_spacing)


def samplers_of_edm() -> tuple[SamplerName, ...]:
    """The samplers that can follow a model with EDM's preconditioning."""
    return tuple(name for name, sampler in SAMPLERS.items() if sampler.edm)


def samplers_of(prediction: Prediction) -> tuple[SamplerName, ...]:
    """The samplers that understand a model with this prediction."""
    return tuple(name for name, sampler in SAMPLERS.items() if prediction in sampler.predictions)
