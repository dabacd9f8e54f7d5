"""Samplers in sigma form whose steps depend on where they stand in the walk: UniPC, DEIS and DPM-Solver-fast.

All three solve dx / dsigma = (x - D) / sigma, with -log sigma or a function of it as time, on both paths of
`weft.nodes.sampling.sigma_samplers`. They are those of ComfyUI's graphs; diffusers' classes of these names take other
orders, or another time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from weft.nodes.sampling.sigma_walk import Denoise, DrawNoise, Past, State

if TYPE_CHECKING:
    from torch import Tensor

ORDER = 3
"""The order of UniPC and DEIS where enough steps are known."""

LAST_LEVEL = 0.001
"""Where UniPC ends instead of at level 0, whose logarithm is infinite."""


def _unipc(scale: Callable[[float], float], denoise: Denoise, state: State, target: float, noise: DrawNoise) -> State:
    """Corrected by D at the level that was reached, then predicted from the last steps (Zhao et al., "UniPC", 2023,
    algorithms 1 and 2); the order falls at the end.

    Args:
        scale: B of the paper, by -h.
    """
    denoised, x, past = denoise(state.x, state.sigma), state.x, state.past
    if past is not None:
        x = _moved(past, state.sigma, state.left + 1, scale, denoised)
    here = Past(denoised, state.sigma, before=past and past.cut(ORDER), x=x)
    return State(_moved(here, target or LAST_LEVEL, state.left, scale), target, here)


def _moved(
    start: Past, target: float, left: int, scale: Callable[[float], float], reached: Tensor | None = None
) -> Tensor:
    """The latents at another level, from those that a step starts from.

    Args:
        left: steps of the walk from this one on.
        reached: D at the other level, where it is known.
    """
    known = list(start.steps())[: min(ORDER, left)]
    h = math.log(start.sigma / target)
    # The times of other steps, counted in h from the start of this one, with the change of D until there.
    places = [math.log(start.sigma / one.sigma) / h for one in known[1:]]
    changes = [(one.denoised - start.denoised) / place for one, place in zip(known[1:], places, strict=True)]
    if reached is not None:
        places, changes = [*places, 1.0], [*changes, reached - start.denoised]
    factor = scale(-h)
    assert start.x is not None
    moved = target / start.sigma * start.x - math.expm1(-h) * start.denoised
    for share, change in zip(_shares(places, h, factor), changes, strict=True):
        moved = moved - factor * share * change
    return moved


def _shares(places: Sequence[float], h: float, factor: float) -> list[float]:
    """What each change of D counts for (Zhao et al., 2023, equation 11); one alone counts half."""
    import numpy

    if len(places) < 2:
        return [0.5] * len(places)
    rows, wanted, phi, factorial = [], [], math.expm1(-h) / -h - 1, 1
    for power in range(len(places)):
        rows.append([place**power for place in places])
        wanted.append(phi * factorial / factor)
        factorial *= power + 2
        phi = phi / -h - 1 / factorial
    return [float(one) for one in numpy.linalg.solve(rows, wanted)]


unipc_bh1 = partial(_unipc, float)
unipc_bh2 = partial(_unipc, math.expm1)

SIGMA_RANGE, FIRST_TIME = (0.002, 80.0), 0.001
"""The levels between which DEIS counts time, from `FIRST_TIME` to 1 (Karras et al., 2022, table 1: VP)."""


def _growth() -> tuple[float, float]:
    """The slope and the beginning of beta, with log(1 + sigma^2) = slope t^2 / 2 + beginning t."""
    low, high = (math.log1p(sigma**2) for sigma in SIGMA_RANGE)
    slope = 2 * (low / FIRST_TIME - high) / (FIRST_TIME - 1)
    return slope, high - slope / 2


SLOPE, BEGINNING = _growth()


def _time(sigma: float) -> float:
    return (math.sqrt(BEGINNING**2 + 2 * SLOPE * math.log1p(sigma**2)) - BEGINNING) / SLOPE


def deis_tab(denoise: Denoise, state: State, target: float, noise: DrawNoise) -> State:
    """Along the polynomial in time through the last slopes, three at most (Zhang and Chen, "Fast Sampling of Diffusion
    Models with Exponential Integrator", 2023, tAB-DEIS)."""
    denoised = denoise(state.x, state.sigma)
    slope = (state.x - denoised) / state.sigma
    here = Past(denoised, state.sigma, slope, state.past and state.past.cut(ORDER - 1))
    known = list(here.steps()) if target else [here]
    shares = _integrals_over_time([_time(one.sigma) for one in known], state.sigma, target)
    moved = (share * one.slope for share, one in zip(shares, known, strict=True) if one.slope is not None)
    return State(state.x + sum(moved), target, here)


def _integrals_over_time(times: Sequence[float], sigma: float, target: float) -> list[float]:
    """The integral over sigma of each Lagrange polynomial in time, by Gauss and Legendre's rule."""
    from numpy.polynomial.legendre import leggauss

    if len(times) == 1:
        return [target - sigma]
    first, last = _time(sigma), _time(target)
    found = [0.0] * len(times)
    for place, weight in zip(*leggauss(16), strict=True):
        time = (first + last) / 2 + (last - first) / 2 * float(place)
        grown = math.exp(SLOPE * time**2 / 2 + BEGINNING * time)
        pace = (SLOPE * time + BEGINNING) * grown / (2 * math.sqrt(grown - 1))  # d sigma / d time
        for at, own in enumerate(times):
            value = math.prod((time - other) / (own - other) for other in times if other != own)
            found[at] += float(weight) * (last - first) / 2 * pace * value
    return found


def _orders(steps: int) -> list[int]:
    """The orders of DPM-Solver-fast's groups of predictions (Lu et al., "DPM-Solver", 2022, section 3.4)."""
    groups = steps // 3
    return [3] * (groups - 1) + [2, 1] if steps % 3 == 0 else [3] * groups + [steps % 3]


def dpm_fast_levels(levels: Sequence[float]) -> list[float]:
    """The levels at which DPM-Solver-fast predicts: as many, evenly spaced in the logarithm in each group.

    The last one is the lowest above 0.
    """
    end, steps = levels[-1] or levels[-2], len(levels) - 1
    if end == levels[0]:
        return [*levels]
    orders = _orders(steps)
    h = math.log(end / levels[0]) / len(orders)
    within = [levels[0] * math.exp(h * (at + part / order)) for at, order in enumerate(orders) for part in range(order)]
    return [*within, end]


def dpm_fast(denoise: Denoise, state: State, target: float, noise: DrawNoise) -> State:
    """One prediction of a group whose last one reaches the next level (Lu et al., 2022, algorithms 1 and 2, equation
    for the first order), with D of the start and the current one."""
    order, part = _place(state.done, state.done + state.left)
    denoised = denoise(state.x, state.sigma)
    slope = (state.x - denoised) / state.sigma
    start = state.past
    if part == 0 or start is None or start.x is None or start.slope is None:
        start = Past(denoised, state.sigma, slope, x=state.x)
        return State(state.x + (target - state.sigma) * slope, target, start)
    assert start.slope is not None and start.x is not None
    h = math.log(start.sigma / target)
    bend = math.expm1(h) if order == 2 else (math.expm1(h) / h - 1) * (2 if part == 1 else 1.5)
    x = start.x + (target - start.sigma) * start.slope - target * bend * (slope - start.slope)
    return State(x, target, Past(denoised, start.sigma, start.slope, x=start.x))


def _place(done: int, steps: int) -> tuple[int, int]:
    """The order of the group that a prediction is in, and how many of the group come before it."""
    for order in _orders(steps):
        if done < order:
            return order, done
        done -= order
    return 1, 0
