"""Samplers in sigma form: how latents go from one noise level to the next, over any list of levels.

A sampler is a function of a denoiser, a state, the level to go to and a source of noise; it gives the next state. All
that a step remembers is in the state, so a walk can stop after any step and go on from there.

Latents at the level sigma are x = alpha x_0 + sigma epsilon. Under a noise schedule alpha is 1, so sigma is the ratio
of noise to picture (Karras et al., "Elucidating the Design Space of Diffusion-Based Generative Models", 2022, section
2); over a flow alpha is 1 - sigma. D is what a denoiser finds in x: the picture without its noise. On both paths the
way to D is straight, dx / dsigma = (x - D) / sigma, and lambda = log(alpha / sigma), half of the logarithm of the ratio
of signal to noise, is the time that solvers of higher order count in.

Nothing here imports torch, so that checks can read the table. Read next: `weft.nodes.sampling.sigma_run`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from weft.nodes.sampling.samplers import SamplerName

if TYPE_CHECKING:
    from torch import Tensor


class Denoise(Protocol):
    """A model as samplers in sigma form ask it."""

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        """D, of the shape of the latents `x` at the level `sigma`."""

    def alpha(self, sigma: float) -> float:
        """What the picture is multiplied by at a level."""


DrawNoise = Callable[[float, float], "Tensor"]
"""Noise of unit variance, of the shape of the latents, for the way from one level to another."""


@dataclass(frozen=True)
class Past:
    """What the step before found: D, at the level that it went out from."""

    denoised: Tensor
    sigma: float


@dataclass(frozen=True)
class State:
    """Latents at a level, and the step that led there, if there was one."""

    x: Tensor
    sigma: float
    past: Past | None = None


Step = Callable[[Denoise, State, float, DrawNoise], State]
"""From a state to the state at another level."""


def walk(denoise: Denoise, step: Step, state: State, levels: Iterable[float], noise: DrawNoise) -> Iterator[State]:
    """The state after each step, to one level after another."""
    for target in levels:
        state = step(denoise, state, target, noise)
        yield state


def euler(denoise: Denoise, state: State, target: float, noise: DrawNoise) -> State:
    """Along the slope at the beginning (Karras et al., 2022, algorithm 1 without its correction)."""
    denoised = denoise(state.x, state.sigma)
    return State(_towards(state.x, denoised, state.sigma, target), target, Past(denoised, state.sigma))


def euler_ancestral(denoise: Denoise, state: State, target: float, noise: DrawNoise) -> State:
    """Noise drawn anew as in ancestral sampling (Ho et al., "DDPM", 2020, algorithm 2): `ddim` at eta 1."""
    return ddim(denoise, state, target, noise, eta=1.0)


def ddim(denoise: Denoise, state: State, target: float, noise: DrawNoise, eta: float = 0.0) -> State:
    """Straight towards D, with a share of fresh noise (Song et al., "DDIM", 2021, eq. 12 and 16)."""
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
    """Towards where D moves, judged by the step before (Lu et al., "DPM-Solver++", 2022, algorithm 2)."""
    denoised = denoise(state.x, state.sigma)
    led = _led(denoise, state, denoised, target)
    return State(_towards(state.x, led, state.sigma, target), target, Past(denoised, state.sigma))


def dpmpp_2m_sde(denoise: Denoise, state: State, target: float, noise: DrawNoise) -> State:
    """The same for the equation with noise (Lu et al., 2022, section 5: SDE-DPM-Solver++(2M))."""
    denoised = denoise(state.x, state.sigma)
    led = _led(denoise, state, denoised, target)
    return State(_renoised(denoise, state, led, target, noise), target, Past(denoised, state.sigma))


def dpmpp_sde(denoise: Denoise, state: State, target: float, noise: DrawNoise) -> State:
    """Towards D as the middle of the step has it, with noise (Lu et al., 2022, algorithm 1 with r = 1/2, section 5)."""
    if target == 0:
        return euler(denoise, state, target, noise)
    middle = math.sqrt(state.sigma * target)
    half = euler_ancestral(denoise, state, middle, noise)
    at_start = half.past.denoised if half.past else half.x
    way = _log_snr(denoise, target) - _log_snr(denoise, state.sigma)
    part = _log_snr(denoise, middle) - _log_snr(denoise, state.sigma)
    share = 0.5 if math.isinf(part) else way / part / 2
    led = (1 - share) * at_start + share * denoise(half.x, middle)
    return State(_renoised(denoise, state, led, target, noise), target, half.past)


def lcm(denoise: Denoise, state: State, target: float, noise: DrawNoise) -> State:
    """D, under fresh noise of the next level (Luo et al., "Latent Consistency Models", 2023, algorithm 3)."""
    denoised = denoise(state.x, state.sigma)
    x = denoise.alpha(target) * denoised + target * noise(state.sigma, target)
    return State(x, target, Past(denoised, state.sigma))


def _towards(x: Tensor, denoised: Tensor, sigma: float, target: float) -> Tensor:
    """x at another level, where D stays what it is."""
    return denoised + target / sigma * (x - denoised)


def _renoised(denoise: Denoise, state: State, led: Tensor, target: float, noise: DrawNoise, eta: float = 1.0) -> Tensor:
    """x at a lower level, where a share of its noise is drawn anew.

    With g = e^-h, h the way in lambda, noise of the variance (eta sigma)^2 (1 - g^2) is drawn, and what is left of the
    old noise, k sigma, makes it sigma^2 in all. `_towards` is this at eta 0.
    """
    if eta == 0:
        return _towards(state.x, led, state.sigma, target)
    alpha = denoise.alpha(target)
    shrinking = target / state.sigma
    g = shrinking * denoise.alpha(state.sigma) / alpha
    kept = math.sqrt(1 - eta**2 * (1 - g**2))
    fresh = eta * target * math.sqrt(1 - g**2)
    return kept * shrinking * state.x + alpha * (1 - kept * g) * led + fresh * noise(state.sigma, target)


def _led(denoise: Denoise, state: State, denoised: Tensor, target: float) -> Tensor:
    """D in the middle of the step, if it goes on as it went; the first step, and one to level 0, take it as it is."""
    here = _log_snr(denoise, state.sigma)
    way = _log_snr(denoise, target) - here
    if state.past is None or math.isinf(way):
        return denoised
    before = here - _log_snr(denoise, state.past.sigma)
    return denoised + way / before / 2 * (denoised - state.past.denoised)


def _log_snr(denoise: Denoise, sigma: float) -> float:
    """lambda; infinite where there is no noise, minus infinity where there is nothing else."""
    if sigma == 0:
        return math.inf
    alpha = denoise.alpha(sigma)
    return math.log(alpha / sigma) if alpha else -math.inf


@dataclass(frozen=True)
class SigmaSampler:
    """A row of the table.

    Args:
        step: the sampler.
        order: predictions that make a step; a step to level 0 is one.
        draws: whether steps draw noise, so that they can only go down.
        brownian: whether the noise of a step and of a part of it belong together.
    """

    step: Step
    order: int = 1
    draws: bool = False
    brownian: bool = False

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
}
"""Every sampler that walks a list of sigmas, under the name that it has in `weft.nodes.sampling.samplers`."""
