"""Samplers in sigma form: how latents go from one noise level to the next, over any list of levels.

A sampler is a function of a denoiser, a state, the next level and a source of noise; it returns the next state
(`weft.nodes.sampling.sigma_walk`). The whole memory of a sampler is in the state, so a walk can stop after any step and
go on from there, but for samplers that plan for how many steps are left.

Latents at the level sigma are x = alpha x_0 + sigma epsilon. Under a noise schedule alpha is 1, so sigma is the ratio
of noise to picture (Karras et al., "Elucidating the Design Space of Diffusion-Based Generative Models", 2022, section
2); over a flow alpha is 1 - sigma. D(x, sigma) is the denoiser's estimate of x_0. On both paths
dx / dsigma = (x - D) / sigma. Solvers of higher order count time as lambda = log(alpha / sigma), half of the logarithm
of the ratio of signal to noise; h is a step in lambda.

Nothing here imports torch, so that checks can read the table. Read next: `weft.nodes.sampling.sigma_run`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from weft.nodes.sampling.exponential_samplers import deis_tab, dpm_fast, dpm_fast_levels, unipc_bh1, unipc_bh2
from weft.nodes.sampling.samplers import SamplerName
from weft.nodes.sampling.sigma_walk import Denoise, DrawNoise, Past, State, Step

if TYPE_CHECKING:
    from torch import Tensor


def euler(denoise: Denoise, state: State, target: float, noise: DrawNoise) -> State:
    """Along the slope at the beginning (Karras et al., 2022, algorithm 1 without its correction)."""
    denoised = denoise(state.x, state.sigma)
    return State(_towards(state.x, denoised, state.sigma, target), target, Past(denoised, state.sigma))


def euler_ancestral(denoise: Denoise, state: State, target: float, noise: DrawNoise) -> State:
    """All noise drawn again, ancestral sampling (Ho et al., "DDPM", 2020, algorithm 2): `ddim` at eta 1."""
    return ddim(denoise, state, target, noise, eta=1.0)


def ddim(denoise: Denoise, state: State, target: float, noise: DrawNoise, eta: float = 0.0) -> State:
    """On a straight line towards D, with a share of fresh noise (Song et al., "DDIM", 2021, eq. 12 and 16)."""
    denoised = denoise(state.x, state.sigma)
    x = _renoised(denoise, state, denoised, target, noise, eta)
    return State(x, target, Past(denoised, state.sigma))


def heun(denoise: Denoise, state: State, target: float, noise: DrawNoise) -> State:
    """Along the mean of the slopes at both ends (Karras et al., 2022, algorithm 1); the last step has one end."""
    first = euler(denoise, state, target, noise)
    if target == 0 or first.past is None:
        return first
    slope = (state.x - first.past.denoised) / state.sigma
    at_target = (first.x - denoise(first.x, target)) / target
    return State(state.x + (target - state.sigma) * (slope + at_target) / 2, target, first.past)


def dpm2(denoise: Denoise, state: State, target: float, noise: DrawNoise) -> State:
    """Along the slope in the middle, of logarithms (Lu et al., "DPM-Solver", 2022, algorithm 1 with r = 1/2)."""
    if target == 0:
        return euler(denoise, state, target, noise)
    middle = math.sqrt(state.sigma * target)
    half = euler(denoise, state, middle, noise)
    slope = (half.x - denoise(half.x, middle)) / middle
    return State(state.x + (target - state.sigma) * slope, target, half.past)


def dpmpp_2m(denoise: Denoise, state: State, target: float, noise: DrawNoise) -> State:
    """Towards D extrapolated from the step before (Lu et al., "DPM-Solver++", 2022, algorithm 2)."""
    denoised = denoise(state.x, state.sigma)
    extrapolated = _extrapolated(denoise, state, denoised, target)
    return State(_towards(state.x, extrapolated, state.sigma, target), target, Past(denoised, state.sigma))


def dpmpp_2m_sde(denoise: Denoise, state: State, target: float, noise: DrawNoise) -> State:
    """The same for the equation with noise (Lu et al., 2022, section 5: SDE-DPM-Solver++(2M))."""
    denoised = denoise(state.x, state.sigma)
    extrapolated = _extrapolated(denoise, state, denoised, target)
    return State(_renoised(denoise, state, extrapolated, target, noise), target, Past(denoised, state.sigma))


def dpmpp_sde(denoise: Denoise, state: State, target: float, noise: DrawNoise) -> State:
    """Towards D as the middle of the step has it, with noise (Lu et al., 2022, algorithm 1 with r = 1/2, section 5)."""
    if target == 0:
        return euler(denoise, state, target, noise)
    middle = math.sqrt(state.sigma * target)
    half = euler_ancestral(denoise, state, middle, noise)
    at_start = half.past.denoised if half.past else half.x
    h = _log_snr(denoise, target) - _log_snr(denoise, state.sigma)
    to_middle = _log_snr(denoise, middle) - _log_snr(denoise, state.sigma)
    # A flow starts at alpha = 0, where lambda is minus infinity and both steps are infinite.
    share = 0.5 if math.isinf(to_middle) else h / to_middle / 2
    combined = (1 - share) * at_start + share * denoise(half.x, middle)
    return State(_renoised(denoise, state, combined, target, noise), target, half.past)


def dpm2_ancestral(denoise: Denoise, state: State, target: float, noise: DrawNoise) -> State:
    """`dpm2` to a level below the next one, and noise from there up to it (Karras' k-diffusion)."""
    down = target**2 / state.sigma
    return _noised_up(denoise, dpm2(denoise, state, down, noise), state.sigma, target, noise)


def dpmpp_2s_ancestral(denoise: Denoise, state: State, target: float, noise: DrawNoise) -> State:
    """Towards D as the middle of the step has it (Lu et al., 2022, algorithm 1 with r = 1/2), and noise likewise."""
    down = target**2 / state.sigma
    if down == 0:
        return euler(denoise, state, target, noise)
    middle = math.sqrt(state.sigma * down)
    half = euler(denoise, state, middle, noise)
    x = _towards(state.x, denoise(half.x, middle), state.sigma, down)
    return _noised_up(denoise, State(x, down, half.past), state.sigma, target, noise)


def _noised_up(denoise: Denoise, low: State, sigma: float, target: float, noise: DrawNoise) -> State:
    """A state at a higher level, by fresh noise.

    Args:
        sigma: where the step began.
    """
    if target == 0:
        return low
    scale = denoise.alpha(target) / denoise.alpha(low.sigma)
    fresh = math.sqrt(max(target**2 - (scale * low.sigma) ** 2, 0.0))
    return State(scale * low.x + fresh * noise(sigma, target), target, low.past)


def lms(denoise: Denoise, state: State, target: float, noise: DrawNoise) -> State:
    """Along the polynomial through the last slopes, four of them at most (linear multistep, Adams and Bashforth)."""
    denoised = denoise(state.x, state.sigma)
    here = Past(denoised, state.sigma, (state.x - denoised) / state.sigma, state.past and state.past.cut(3))
    known = list(here.steps())
    shares = _integrals([one.sigma for one in known], state.sigma, target)
    moved = (share * one.slope for share, one in zip(shares, known, strict=True) if one.slope is not None)
    return State(state.x + sum(moved), target, here)


def _integrals(points: Sequence[float], start: float, end: float) -> list[float]:
    """The integral of each Lagrange polynomial of some points."""
    found = []
    for own in points:
        coefficients = [1.0]  # of the powers, rising
        for other in points:
            if other != own:
                rising, shifted = [0.0, *coefficients], [-other * one for one in coefficients] + [0.0]
                coefficients = [(a + b) / (own - other) for a, b in zip(rising, shifted, strict=True)]
        powers = ((end ** (n + 1) - start ** (n + 1)) / (n + 1) for n in range(len(coefficients)))
        found.append(sum(a * b for a, b in zip(coefficients, powers, strict=True)))
    return found


def dpmpp_3m_sde(denoise: Denoise, state: State, target: float, noise: DrawNoise) -> State:
    """Towards D extrapolated from two steps before, for the equation with noise (Lu et al., 2022, third order)."""
    denoised = denoise(state.x, state.sigma)
    here = Past(denoised, state.sigma, before=state.past and state.past.cut(2))
    first, log_snr = here.before, _log_snr(denoise, state.sigma)
    h = _log_snr(denoise, target) - log_snr
    if first is None or math.isinf(h):
        return State(_renoised(denoise, state, denoised, target, noise), target, here)
    second, share = _second(2 * h), denoised
    h_1 = (log_snr - _log_snr(denoise, first.sigma)) / h
    slope = (denoised - first.denoised) / h_1
    if first.before is None:
        share = second * slope
    else:
        h_2 = (_log_snr(denoise, first.sigma) - _log_snr(denoise, first.before.sigma)) / h
        bend = (slope - (first.denoised - first.before.denoised) / h_2) / (h_1 + h_2)
        share = second * (slope + bend * h_1) - (second / (2 * h) - 0.5) * bend
    x = _renoised(denoise, state, denoised, target, noise) + denoise.alpha(target) * share
    return State(x, target, here)


def _second(h: float) -> float:
    """(e^-h - 1) / h + 1."""
    return math.expm1(-h) / h + 1


def res_multistep(denoise: Denoise, state: State, target: float, noise: DrawNoise) -> State:
    """Exponential integrator of two steps (Zhang et al., "Improved Order Analysis and Design of Exponential Integrator
    for Diffusion Models Sampling", 2023), with -log sigma as time."""
    denoised, past = denoise(state.x, state.sigma), state.past
    here = Past(denoised, state.sigma)
    if past is None or target == 0:
        return State(_towards(state.x, denoised, state.sigma, target), target, here)
    h = math.log(state.sigma / target)
    back = math.log(state.sigma / past.sigma) / h
    first = -math.expm1(-h) / h
    second = (1 - first) / h
    combined = (first - second / back) * denoised + second / back * past.denoised
    return State(target / state.sigma * state.x + h * combined, target, here)


def lcm(denoise: Denoise, state: State, target: float, noise: DrawNoise) -> State:
    """D with fresh noise of the next level (Luo et al., "Latent Consistency Models", 2023, algorithm 3)."""
    denoised = denoise(state.x, state.sigma)
    x = denoise.alpha(target) * denoised + target * noise(state.sigma, target)
    return State(x, target, Past(denoised, state.sigma))


def _towards(x: Tensor, denoised: Tensor, sigma: float, target: float) -> Tensor:
    """x at another level, for a constant D."""
    return denoised + target / sigma * (x - denoised)


def _renoised(
    denoise: Denoise, state: State, denoised: Tensor, target: float, noise: DrawNoise, eta: float = 1.0
) -> Tensor:
    """x at a lower level, for a constant D, with a share of its noise drawn again.

    With g = e^-h, the fresh noise has the variance (eta sigma)^2 (1 - g^2), and the old noise is scaled by k so that
    the sum has sigma^2. `_towards` is this at eta 0.
    """
    if eta == 0:
        return _towards(state.x, denoised, state.sigma, target)
    alpha = denoise.alpha(target)
    shrinking = target / state.sigma
    g = shrinking * denoise.alpha(state.sigma) / alpha
    kept = math.sqrt(1 - eta**2 * (1 - g**2))
    fresh = eta * target * math.sqrt(1 - g**2)
    return kept * shrinking * state.x + alpha * (1 - kept * g) * denoised + fresh * noise(state.sigma, target)


def _extrapolated(denoise: Denoise, state: State, denoised: Tensor, target: float) -> Tensor:
    """D extrapolated to the middle of the step; the first step, and one to level 0, take D as it is."""
    here = _log_snr(denoise, state.sigma)
    h = _log_snr(denoise, target) - here
    if state.past is None or math.isinf(h):
        return denoised
    previous_h = here - _log_snr(denoise, state.past.sigma)
    return denoised + h / previous_h / 2 * (denoised - state.past.denoised)


def _log_snr(denoise: Denoise, sigma: float) -> float:
    """lambda; infinite at level 0, minus infinity where alpha is 0."""
    if sigma == 0:
        return math.inf
    alpha = denoise.alpha(sigma)
    return math.log(alpha / sigma) if alpha else -math.inf


@dataclass(frozen=True)
class SigmaSampler:
    """A row of the table.

    Args:
        step: the sampler.
        order: predictions in a step; a step to level 0 takes one.
        draws: whether steps draw noise, so that they can only go down.
        brownian: whether noise comes from one Brownian path, so that the noise of a step is the sum of its parts.
        planned: whether steps depend on how many are left.
        own_levels: the levels that it walks in the place of others from the first to the last; None for those given.
    """

    step: Step
    order: int = 1
    draws: bool = False
    brownian: bool = False
    planned: bool = False
    own_levels: Callable[[Sequence[float]], list[float]] | None = None

    def walked(self, levels: Sequence[float]) -> list[float]:
        """The levels of a walk over these."""
        return self.own_levels(levels) if self.own_levels else [*levels]

    def predictions(self, levels: Sequence[float]) -> int:
        """How many predictions a walk over these levels takes."""
        return sum(1 if level == 0 else self.order for level in levels[1:])


SIGMA_SAMPLERS: Mapping[SamplerName, SigmaSampler] = {
    "euler": SigmaSampler(euler),
    "euler_ancestral": SigmaSampler(euler_ancestral, draws=True),
    "heun": SigmaSampler(heun, order=2),
    "dpm2": SigmaSampler(dpm2, order=2),
    "dpmpp_2m": SigmaSampler(dpmpp_2m),
    "dpmpp_2m_sde": SigmaSampler(dpmpp_2m_sde, draws=True),
    "dpmpp_sde": SigmaSampler(dpmpp_sde, order=2, draws=True, brownian=True),
    "ddim": SigmaSampler(ddim),
    "lcm": SigmaSampler(lcm, draws=True),
    "lms": SigmaSampler(lms),
    "dpm2_ancestral": SigmaSampler(dpm2_ancestral, order=2, draws=True),
    "dpmpp_2s_ancestral": SigmaSampler(dpmpp_2s_ancestral, order=2, draws=True),
    "dpmpp_3m_sde_k": SigmaSampler(dpmpp_3m_sde, draws=True),
    "res_multistep": SigmaSampler(res_multistep),
    "deis_tab": SigmaSampler(deis_tab),
    "unipc_bh1": SigmaSampler(unipc_bh1, planned=True),
    "unipc_bh2": SigmaSampler(unipc_bh2, planned=True),
    "dpm_fast": SigmaSampler(dpm_fast, planned=True, own_levels=dpm_fast_levels),
}
"""Every sampler that walks a list of sigmas, under the name that it has in `weft.nodes.sampling.samplers`."""
