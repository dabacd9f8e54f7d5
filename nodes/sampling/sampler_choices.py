"""What the samplers and schedules are, a line on each, and what they are called elsewhere.

People write the names of other programs: diffusers' classes, ComfyUI's names, A1111's labels ("DPM++ 2M Karras", which
is a sampler and a schedule at once). A hint says what to write instead. Imports no torch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated

from weft.engine import Choices
from weft.nodes.sampling.samplers import SamplerName, ScheduleName

SAMPLER_TEXTS: Mapping[SamplerName, str] = {
    "model": "the one that the checkpoint came with",
    "ddpm": "ancestral sampling of the training's own chain; noise in each step; hundreds of steps",
    "ddim": "first order, deterministic at eta 0; 20 to 50 steps; used for inversion",
    "pndm": "linear multistep after a warm-up; 25 to 50 steps; SD 1's default of 2022",
    "lms": "linear multistep of order 4; 25 to 50 steps",
    "euler": "first order, deterministic; 20 to 30 steps; the default of flow models",
    "euler_ancestral": "first order, all noise drawn again in each step: does not settle with more steps",
    "heun": "second order, two predictions a step; 10 to 25 steps",
    "dpm2": "second order (DPM-Solver-2 as k-diffusion has it), two predictions a step",
    "dpm2_ancestral": "the same with noise in each step",
    "dpmpp_2m": "DPM-Solver++, second order, multistep: 15 to 30 steps; a good start for SD and SDXL",
    "dpmpp_2m_sde": "the same with noise in each step: more texture, 20 to 40 steps",
    "dpmpp_sde": "DPM-Solver++ SDE, two predictions a step, noise of one path; only over `sigmas`",
    "dpmpp_2s": "DPM-Solver++, second order, singlestep: no history between pairs of steps",
    "dpmpp_2s_ancestral": "DPM-Solver++, second order, noise in each step; only over `sigmas`",
    "dpmpp_3m": "DPM-Solver++, third order, multistep: for little guidance or none",
    "dpmpp_3m_sde": "the same with noise in each step: 25 steps or more",
    "dpmpp_3m_sde_k": "the same by k-diffusion's formula, as in ComfyUI; only over `sigmas`",
    "dpmsolver_2m": "DPM-Solver (predicts noise), second order, multistep; 20 to 50 steps, less guidance than for ++",
    "dpmsolver_2m_sde": "the same with noise in each step",
    "dpmsolver_2s": "DPM-Solver, second order, singlestep",
    "deis": "exponential integrator, multistep of order 2; 10 to 25 steps",
    "unipc": "predictor and corrector; 10 to 25 steps",
    "res_multistep": "exponential integrator of second order, multistep; only over `sigmas`",
    "deis_tab": "DEIS as its authors have it, in ComfyUI's graphs: order 3 over the time of VP; only over `sigmas`",
    "unipc_bh1": "UniPC of order 3 as in ComfyUI's graphs (`uni_pc`); only over `sigmas`; 10 to 25 steps",
    "unipc_bh2": "the same with the paper's B_2 (`uni_pc_bh2`); for strong guidance",
    "dpm_fast": "DPM-Solver in groups of three predictions, at levels of its own; only over `sigmas`; 15 to 30 steps",
    "sa_solver": "stochastic Adams, predictor and corrector; 20 to 50 steps",
    "lcm": "for latent consistency models, LCM-LoRAs and distilled flows (HiDream Dev): few steps, guidance 1 to 2",
    "tcd": "for trajectory consistency models: 4 to 8 steps; eta sets the share of noise",
}

SCHEDULE_TEXTS: Mapping[ScheduleName, str] = {
    "model": "the spacing that the checkpoint's scheduler has",
    "karras": "noise levels by Karras et al. 2022, equation 5: more steps at little noise; good below 20 steps",
    "exponential": "noise levels evenly spaced in their logarithm",
    "beta": "by quantiles of a beta distribution: more steps at both ends",
    "sgm_uniform": "timesteps evenly spaced from the last one of the training (diffusers' `trailing`); for few steps",
    "linspace": "timesteps evenly spaced from the last one to the first (as diffusers); for `ddim` by MakeSigmas",
    "ays": "Align Your Steps: timesteps optimised for SD 1 or SDXL at 10 steps, interpolated for other numbers",
}

_SAMPLERS: Mapping[str, SamplerName] = {
    "ddpmscheduler": "ddpm",
    "ddimscheduler": "ddim",
    "pndmscheduler": "pndm",
    "plms": "pndm",
    "lmsdiscretescheduler": "lms",
    "klms": "lms",
    "eulerdiscretescheduler": "euler",
    "keuler": "euler",
    "flowmatcheulerdiscretescheduler": "euler",
    "eulerancestraldiscretescheduler": "euler_ancestral",
    "eulera": "euler_ancestral",
    "keulera": "euler_ancestral",
    "heundiscretescheduler": "heun",
    "flowmatchheundiscretescheduler": "heun",
    "kdpm2discretescheduler": "dpm2",
    "dpm2": "dpm2",
    "kdpm2ancestraldiscretescheduler": "dpm2_ancestral",
    "dpm2a": "dpm2_ancestral",
    "dpmsolvermultistepscheduler": "dpmpp_2m",
    "dpm++": "dpmpp_2m",
    "dpmpp": "dpmpp_2m",
    "dpmsolver++": "dpmpp_2m",
    "dpmsolverpp": "dpmpp_2m",
    "dpm++2m": "dpmpp_2m",
    "dpm++2msde": "dpmpp_2m_sde",
    "dpm++2msdegpu": "dpmpp_2m_sde",
    "dpm++sde": "dpmpp_sde",
    "dpm++sdegpu": "dpmpp_sde",
    "dpmsolversdescheduler": "dpmpp_sde",
    "dpm++3m": "dpmpp_3m",
    "dpm++3msde": "dpmpp_3m_sde",
    "dpm++3msdegpu": "dpmpp_3m_sde",
    "dpm++2s": "dpmpp_2s",
    "dpm++2sa": "dpmpp_2s_ancestral",
    "dpm++2sancestral": "dpmpp_2s_ancestral",
    "dpmsolversinglestepscheduler": "dpmpp_2s",
    "dpmsolver": "dpmsolver_2m",
    "deismultistepscheduler": "deis",
    "unipcmultistepscheduler": "unipc",
    "sasolverscheduler": "sa_solver",
    "lcmscheduler": "lcm",
    "flowmatchlcmscheduler": "lcm",
    "tcdscheduler": "tcd",
}
"""Names of samplers elsewhere, in the form of `_plain`: diffusers' classes, ComfyUI's names, A1111's labels."""

_SCHEDULES: Mapping[str, ScheduleName] = {
    "karras": "karras",
    "usekarrassigmas": "karras",
    "exponential": "exponential",
    "useexponentialsigmas": "exponential",
    "polyexponential": "exponential",
    "beta": "beta",
    "usebetasigmas": "beta",
    "sgmuniform": "sgm_uniform",
    "trailing": "sgm_uniform",
    "linspace": "linspace",
    "uniform": "model",
    "automatic": "model",
    "leading": "model",
    "alignyoursteps": "ays",
    "ays": "ays",
}

_OTHERS: Mapping[str, str] = {
    "normal": "ComfyUI's `normal` is nearest to `linspace`",
    "simple": "ComfyUI's `simple` is nearest to `sgm_uniform`; for a flow model it is `model`",
    "ddimuniform": "ComfyUI's `ddim_uniform` is nearest to `model` of a checkpoint with leading timesteps",
}
"""Names elsewhere that nothing here is the same as."""


def meant_by_sampler(given: str) -> str:
    """The hint for a text that names no sampler: what to write for a name that is known elsewhere; or empty."""
    plain = _plain(given)
    if sampler := _sampler(plain):
        return f"write `sampler` {sampler}."
    for ending in sorted(_SCHEDULES, key=len, reverse=True):
        if plain.endswith(ending) and (sampler := _sampler(plain.removesuffix(ending))):
            return f"write `sampler` {sampler} and `schedule` {_SCHEDULES[ending]}."
    return f"{_OTHERS[plain]}." if plain in _OTHERS else ""


def _sampler(plain: str) -> SamplerName | None:
    """The sampler of a name in the form of `_plain`."""
    own = {_plain(name): name for name in SAMPLER_TEXTS}
    return own.get(plain) or _SAMPLERS.get(plain)


def named_elsewhere(label: str) -> tuple[SamplerName | None, ScheduleName | None]:
    """The sampler and the schedule that another program's label means: "DPM++ 2M Karras" names both."""
    plain = _plain(label)
    if sampler := _sampler(plain):
        return sampler, None
    for ending in sorted(_SCHEDULES, key=len, reverse=True):
        if plain.endswith(ending) and (sampler := _sampler(plain.removesuffix(ending))):
            return sampler, _SCHEDULES[ending]
    return None, None


def meant_by_schedule(given: str) -> str:
    """The hint for a text that names no schedule: what to write for a name that is known elsewhere; or empty."""
    plain = _plain(given)
    if found := _SCHEDULES.get(plain):
        return f"write `schedule` {found}."
    return f"{_OTHERS[plain]}." if plain in _OTHERS else ""


def _plain(name: str) -> str:
    """A name in small letters, without spaces and punctuation, with `++` for `pp`."""
    return re.sub(r"[^a-z0-9+]", "", name.lower().removeprefix("k_")).replace("dpmpp", "dpm++")


VARIANCES = Choices(
    {
        "model": "as the model's configuration has it, which for most is fixed_small",
        "fixed_small": "beta-tilde, the variance of the posterior (Ho et al., equation 7): the least",
        "fixed_small_log": "the same, computed by its logarithm",
        "fixed_large": "beta, the variance of the forward process: the most",
        "fixed_large_log": "the logarithm of beta, as diffusers has it",
    }
)
"""What the variances of DDPM's steps are."""

SamplerInput = Annotated[SamplerName, Choices(SAMPLER_TEXTS, meant_by_sampler)]
"""The input of a node that takes a sampler."""

ScheduleInput = Annotated[ScheduleName, Choices(SCHEDULE_TEXTS, meant_by_schedule)]
"""The input of a node that takes a schedule."""
