"""The samplers and schedules that KSampler offers, as a table over diffusers' scheduler classes.

A sampler is a row: the class, the options that make it this sampler, and what the class can do. Nothing here imports
torch or diffusers; that the table tells the truth about the classes is tested
(`tests/nodes/sampling/test_samplers.py`).

Read next: `weft.nodes.sampling.scheduler_run`, which makes a running scheduler out of a row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

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
    "dpmpp_2s_ancestral",
    "dpmpp_3m",
    "dpmpp_3m_sde",
    "dpmpp_3m_sde_k",
    "dpmsolver_2m",
    "dpmsolver_2m_sde",
    "dpmsolver_2s",
    "deis",
    "unipc",
    "res_multistep",
    "deis_tab",
    "unipc_bh1",
    "unipc_bh2",
    "dpm_fast",
    "sa_solver",
    "lcm",
    "tcd",
]

ScheduleName = Literal["model", "karras", "exponential", "beta", "sgm_uniform", "linspace", "ays"]

EVERY_SCHEDULE: tuple[ScheduleName, ...] = get_args(ScheduleName)
COMPUTED: tuple[ScheduleName, ...] = ("model", "karras", "exponential", "beta", "sgm_uniform", "linspace")
"""Of classes that take no list of timesteps."""
SPACED: tuple[ScheduleName, ...] = ("model", "sgm_uniform", "linspace")
EVENLY_SPACED: tuple[ScheduleName, ...] = ("model", "sgm_uniform")
"""Of classes whose steps go a fixed number of timesteps down, which from those of `linspace` misses the next one."""
SIGMAS: tuple[ScheduleName, ...] = ("model", "karras", "exponential", "beta")

EVERY_PREDICTION = frozenset({"epsilon", "v_prediction", "sample"})
NO_SAMPLE = EVERY_PREDICTION - {"sample"}


@dataclass(frozen=True)
class Solver:
    """Diffusers' class for a sampler and one kind of model.

    Args:
        scheduler: the name of the class.
        schedules: the schedules that it can follow for such models, of those that its sampler can follow at all.
        options: the configuration that makes the class this sampler, laid over the checkpoint's own.
        takes_sigmas: whether it takes the levels of a model that spaces its steps itself.
        takes_shift: whether it takes the shift of a model whose levels depend on the size of the picture.
        takes_eta: whether a step takes DDIM's eta, the share of fresh noise.
    """

    scheduler: str
    schedules: tuple[ScheduleName, ...] = ("model",)
    options: Mapping[str, object] = field(default_factory=dict)
    takes_sigmas: bool = True
    takes_shift: bool = True
    takes_eta: bool = False


@dataclass(frozen=True)
class Sampler:
    """A row of the table.

    Args:
        scheduler: the name of diffusers' class for models under a noise schedule.
        schedules: the schedules that the class can follow.
        options: the configuration that makes the class this sampler, laid over the checkpoint's own.
        predictions: the supported prediction types of models under a noise schedule.
        takes_eta: whether a step takes DDIM's eta, the share of fresh noise.
        solvers: for other kinds of models, by the kind of their parametrisation
            (`weft.nodes.models.parametrisation`); a sampler cannot follow a model of a kind that is missing.
    """

    scheduler: str
    schedules: tuple[ScheduleName, ...] = COMPUTED
    options: Mapping[str, object] = field(default_factory=dict)
    predictions: frozenset[str] = EVERY_PREDICTION
    takes_eta: bool = False
    solvers: Mapping[str, Solver] = field(default_factory=dict)

    def solver(self, kind: str) -> Solver | None:
        """The class for models with a kind of parametrisation; None where there is none."""
        if kind in self.predictions:
            return Solver(self.scheduler, self.schedules, self.options, takes_eta=self.takes_eta)
        return self.solvers.get(kind)


SECOND_ORDER: Mapping[str, object] = {"algorithm_type": "dpmsolver++", "solver_order": 2}


def _multistep(**options: object) -> Sampler:
    """DPM-Solver++ of several steps: one class, but for EDM."""
    name = "DPMSolverMultistepScheduler"
    given = {**SECOND_ORDER, **options}
    solvers = {"flow": Solver(name, options=given), "edm": Solver(f"EDM{name}", options=given)}
    return Sampler(name, EVERY_SCHEDULE, given, solvers=solvers)


def _without_edm(sampler: Sampler) -> Sampler:
    """A sampler of an order that the class for EDM does not have."""
    return replace(sampler, solvers={kind: one for kind, one in sampler.solvers.items() if kind != "edm"})


def _predicting_noise(algorithm: str = "dpmsolver", steps: str = "Multistep") -> Sampler:
    """DPM-Solver of second order, which works on the predicted noise, so that it cannot walk to a level of 0.

    In third order diffusers' class divides by the length of the last step, which is 0 on schedules of levels.
    """
    options = {"algorithm_type": algorithm, "solver_order": 2, "final_sigmas_type": "sigma_min"}
    schedules = EVERY_SCHEDULE if steps == "Multistep" else (*SIGMAS, "ays")
    return Sampler(f"DPMSolver{steps}Scheduler", schedules, options)


SAMPLERS: Mapping[SamplerName, Sampler] = {
    "ddpm": Sampler("DDPMScheduler", (*SPACED, "ays")),
    "ddim": Sampler("DDIMScheduler", EVENLY_SPACED, takes_eta=True),
    "pndm": Sampler("PNDMScheduler", EVENLY_SPACED, predictions=NO_SAMPLE),
    "lms": Sampler("LMSDiscreteScheduler"),
    "euler": Sampler(
        "EulerDiscreteScheduler",
        EVERY_SCHEDULE,
        solvers={"flow": Solver("FlowMatchEulerDiscreteScheduler", SIGMAS), "edm": Solver("EDMEulerScheduler")},
    ),
    "euler_ancestral": Sampler("EulerAncestralDiscreteScheduler", SPACED, predictions=NO_SAMPLE),
    "heun": Sampler(
        "HeunDiscreteScheduler",
        EVERY_SCHEDULE,
        solvers={"flow": Solver("FlowMatchHeunDiscreteScheduler", takes_sigmas=False, takes_shift=False)},
    ),
    "dpm2": Sampler("KDPM2DiscreteScheduler", predictions=NO_SAMPLE),
    "dpm2_ancestral": Sampler("KDPM2AncestralDiscreteScheduler", predictions=NO_SAMPLE),
    "dpmpp_2m": _multistep(),
    "dpmpp_2m_sde": _multistep(algorithm_type="sde-dpmsolver++"),
    "dpmpp_2s": Sampler("DPMSolverSinglestepScheduler", (*SIGMAS, "ays"), SECOND_ORDER),
    "dpmpp_3m": _multistep(solver_order=3),
    "dpmpp_3m_sde": _without_edm(_multistep(solver_order=3, algorithm_type="sde-dpmsolver++")),
    "dpmsolver_2m": _predicting_noise(),
    "dpmsolver_2m_sde": _predicting_noise("sde-dpmsolver"),
    "dpmsolver_2s": _predicting_noise(steps="Singlestep"),
    "deis": Sampler(
        "DEISMultistepScheduler",
        options={"algorithm_type": "deis"},
        solvers={"flow": Solver("DEISMultistepScheduler", options={"algorithm_type": "deis"})},
    ),
    "unipc": Sampler("UniPCMultistepScheduler", solvers={"flow": Solver("UniPCMultistepScheduler")}),
    "sa_solver": Sampler("SASolverScheduler"),
    "lcm": Sampler("LCMScheduler", ("model",), solvers={"flow": Solver("FlowMatchLCMScheduler", SIGMAS)}),
    "tcd": Sampler("TCDScheduler", ("model",), takes_eta=True),
}
"""Every sampler but `model`, which is the one that a checkpoint came with, and those over sigmas alone.

Singlestep DPM-Solver has one spacing of timesteps; LCM and TCD have the steps that they were distilled on.
"""

SIGMAS_ALONE: frozenset[SamplerName] = frozenset(
    (
        *("dpmpp_sde", "dpmpp_2s_ancestral", "dpmpp_3m_sde_k", "res_multistep"),
        *("deis_tab", "unipc_bh1", "unipc_bh2", "dpm_fast"),
    )
)
"""Samplers that no class of diffusers is: the one for `dpmpp_sde` draws one noise, whatever the seeds."""

TWO_PREDICTIONS: frozenset[SamplerName] = frozenset(
    {"heun", "dpm2", "dpm2_ancestral", "dpmpp_sde", "dpmpp_2s_ancestral"}
)
"""Samplers that ask the network twice a step."""

FRAME_FIRST_SCHEDULER = "CogVideoXDPMScheduler"
"""The class of CogVideoX for DPM-Solver with noise, which is stepped in a way of its own."""

CONSISTENCY_SCHEDULER = "CMStochasticIterativeScheduler"
"""The class of consistency models, which no other sampler can follow."""

CHECKPOINT_SCHEDULERS: frozenset[str] = frozenset(
    (
        CONSISTENCY_SCHEDULER,
        FRAME_FIRST_SCHEDULER,
        *(row.scheduler for row in SAMPLERS.values()),
        *(solver.scheduler for row in SAMPLERS.values() for solver in row.solvers.values()),
    )
)
"""Classes of schedulers that a checkpoint may come with and the sampler `model` take."""

ZERO_SNR_SCHEDULERS: frozenset[str] = frozenset(
    (
        *("DDIMScheduler", "DDPMScheduler", "LCMScheduler", "TCDScheduler"),
        *("EulerDiscreteScheduler", "EulerAncestralDiscreteScheduler"),
        *("DPMSolverMultistepScheduler", "UniPCMultistepScheduler", FRAME_FIRST_SCHEDULER),
    )
)
"""Classes whose noise schedule can be rescaled to end in noise alone (`rescale_betas_zero_snr`)."""

SPACING_FLAGS: Mapping[ScheduleName, str] = {
    "karras": "use_karras_sigmas",
    "exponential": "use_exponential_sigmas",
    "beta": "use_beta_sigmas",
}
"""The option of a scheduler's configuration that asks for a spacing."""

_PLAIN_SIGMAS = dict.fromkeys(SPACING_FLAGS.values(), False)

SCHEDULES: Mapping[ScheduleName, Mapping[str, object]] = {
    "model": {},
    "karras": {**_PLAIN_SIGMAS, "use_karras_sigmas": True},
    "exponential": {**_PLAIN_SIGMAS, "use_exponential_sigmas": True},
    "beta": {**_PLAIN_SIGMAS, "use_beta_sigmas": True},
    "sgm_uniform": {**_PLAIN_SIGMAS, "timestep_spacing": "trailing"},
    "linspace": {**_PLAIN_SIGMAS, "timestep_spacing": "linspace"},
    "ays": _PLAIN_SIGMAS,
}
"""How each schedule is asked for in a scheduler's configuration.

`model` keeps the checkpoint's own spacing; `ays` gives a list of timesteps (`weft.nodes.sampling.aligned_steps`).
"""


def solver_of_class(scheduler: str, kind: str) -> Solver:
    """What a class of diffusers can do for models with a kind of parametrisation, as the sampler `model`."""
    known = (solver for row in SAMPLERS.values() if (solver := row.solver(kind)) and solver.scheduler == scheduler)
    return replace(next(known, Solver(scheduler)), options={})


def samplers_for(schedule: ScheduleName) -> tuple[SamplerName, ...]:
    """The samplers that can follow a schedule."""
    return tuple(name for name, sampler in SAMPLERS.items() if schedule in sampler.schedules)


def samplers_of(kind: str, schedule: ScheduleName = "model") -> tuple[SamplerName, ...]:
    """The samplers that can follow a schedule for models with a kind of parametrisation."""
    solvers = {name: sampler.solver(kind) for name, sampler in SAMPLERS.items()}
    return tuple(name for name, solver in solvers.items() if solver and schedule in solver.schedules)


def samplers_that_take_eta() -> tuple[SamplerName, ...]:
    """The samplers that take DDIM's eta."""
    return tuple(name for name, sampler in SAMPLERS.items() if sampler.takes_eta)


def samplers_that_take_shift(kind: str) -> tuple[SamplerName, ...]:
    """The samplers that can follow a model whose levels depend on the size of the picture."""
    solvers = {name: sampler.solver(kind) for name, sampler in SAMPLERS.items()}
    return tuple(name for name, solver in solvers.items() if solver and solver.takes_shift)


def samplers_that_take_sigmas(kind: str) -> tuple[SamplerName, ...]:
    """The samplers that can follow a model which spaces its steps itself."""
    solvers = {name: sampler.solver(kind) for name, sampler in SAMPLERS.items()}
    return tuple(name for name, solver in solvers.items() if solver and solver.takes_sigmas)
