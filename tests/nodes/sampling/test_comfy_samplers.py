"""Samplers over ComfyUI's levels equal plain statements of their papers' algorithms, in sigma form with alpha 1."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from weft.nodes.models.parametrisation import parametrisation_of
from weft.nodes.sampling.comfy_schedules import comfy_levels, training_levels
from weft.nodes.sampling.sigma_samplers import SIGMA_SAMPLERS, State, walk

SD1 = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000}
LEVELS = comfy_levels(training_levels(parametrisation_of(SD1), "SD1"), "normal", 7)

Model = Callable[[Tensor, float], Tensor]
Draw = Callable[[], Tensor]


class Curved:
    """A denoiser that is no straight line in x or sigma."""

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        return torch.tanh(x / (1 + sigma)) + 0.3 * torch.sin(x) / (1 + sigma**2)

    def alpha(self, sigma: float) -> float:
        return 1.0


def ancestral(sigma: float, target: float) -> tuple[float, float]:
    """The level that a step goes down to, and the deviation of the noise that follows."""
    up = math.sqrt(target**2 * (sigma**2 - target**2) / sigma**2)
    return math.sqrt(max(target**2 - up**2, 0)), up


def euler(model: Model, x: Tensor, draw: Draw) -> Tensor:
    for sigma, target in pairwise(LEVELS):
        x = x + (x - model(x, sigma)) / sigma * (target - sigma)
    return x


def euler_ancestral(model: Model, x: Tensor, draw: Draw) -> Tensor:
    for sigma, target in pairwise(LEVELS):
        down, up = ancestral(sigma, target)
        x = x + (x - model(x, sigma)) / sigma * (down - sigma)
        x = x + draw() * up if target else x
    return x


def heun(model: Model, x: Tensor, draw: Draw) -> Tensor:
    for sigma, target in pairwise(LEVELS):
        slope = (x - model(x, sigma)) / sigma
        ahead = x + slope * (target - sigma)
        if target:
            slope = (slope + (ahead - model(ahead, target)) / target) / 2
        x = x + slope * (target - sigma)
    return x


def dpm2(model: Model, x: Tensor, draw: Draw, noisy: bool = False) -> Tensor:
    for sigma, target in pairwise(LEVELS):
        down, up = ancestral(sigma, target) if noisy else (target, 0.0)
        slope = (x - model(x, sigma)) / sigma
        if down == 0:
            x = x + slope * (down - sigma)
            continue
        middle = math.exp((math.log(sigma) + math.log(down)) / 2)
        half = x + slope * (middle - sigma)
        x = x + (half - model(half, middle)) / middle * (down - sigma)
        x = x + draw() * up if noisy else x
    return x


def dpm2_ancestral(model: Model, x: Tensor, draw: Draw) -> Tensor:
    return dpm2(model, x, draw, noisy=True)


def dpmpp_2s_ancestral(model: Model, x: Tensor, draw: Draw) -> Tensor:
    for sigma, target in pairwise(LEVELS):
        down, up = ancestral(sigma, target)
        denoised = model(x, sigma)
        if down == 0:
            x = x + (x - denoised) / sigma * (down - sigma)
            continue
        t, t_next = -math.log(sigma), -math.log(down)
        h, s = t_next - t, (t + t_next) / 2
        half = math.exp(-s) / math.exp(-t) * x - math.expm1(-h / 2) * denoised
        x = math.exp(-t_next) / math.exp(-t) * x - math.expm1(-h) * model(half, math.exp(-s)) + draw() * up
    return x


def dpmpp_2m(model: Model, x: Tensor, draw: Draw) -> Tensor:
    old, h_last = None, 0.0
    for sigma, target in pairwise(LEVELS):
        denoised = model(x, sigma)
        h = math.log(sigma / target) if target else math.inf
        r = h_last / h
        used = denoised if old is None or not target else (1 + 1 / (2 * r)) * denoised - 1 / (2 * r) * old
        x = target / sigma * x - math.expm1(-h) * used
        old, h_last = denoised, h
    return x


def dpmpp_2m_sde(model: Model, x: Tensor, draw: Draw) -> Tensor:
    old, h_last = None, 0.0
    for sigma, target in pairwise(LEVELS):
        denoised = model(x, sigma)
        if not target:
            return denoised
        h = math.log(sigma / target)
        x = target / sigma * math.exp(-h) * x - math.expm1(-2 * h) * denoised
        if old is not None:
            x = x + 0.5 * -math.expm1(-2 * h) * (h / h_last) * (denoised - old)
        x = x + draw() * target * math.sqrt(-math.expm1(-2 * h))
        old, h_last = denoised, h
    return x


def dpmpp_3m_sde(model: Model, x: Tensor, draw: Draw) -> Tensor:
    seen: list[tuple[Tensor, float]] = []
    for sigma, target in pairwise(LEVELS):
        denoised = model(x, sigma)
        if not target:
            return denoised
        h = math.log(sigma / target)
        x = math.exp(-2 * h) * x - math.expm1(-2 * h) * denoised
        phi_2 = math.expm1(-2 * h) / (2 * h) + 1
        if len(seen) == 1:
            x = x + phi_2 * (denoised - seen[-1][0]) / (seen[-1][1] / h)
        elif seen:
            (older, h_2), (old, h_1) = seen[-2:]
            r0, r1 = h_1 / h, h_2 / h
            first, second = (denoised - old) / r0, (old - older) / r1
            d1 = first + (first - second) * r0 / (r0 + r1)
            x = x + phi_2 * d1 - (phi_2 / (2 * h) - 0.5) * (first - second) / (r0 + r1)
        x = x + draw() * target * math.sqrt(-math.expm1(-2 * h))
        seen.append((denoised, h))
    return x


def lms(model: Model, x: Tensor, draw: Draw) -> Tensor:
    slopes: list[Tensor] = []
    for at, (sigma, target) in enumerate(pairwise(LEVELS)):
        slopes = [*slopes, (x - model(x, sigma)) / sigma][-4:]
        points = LEVELS[: at + 1][-4:]
        for own, slope in zip(points, slopes, strict=True):
            x = x + integral(own, points, sigma, target) * slope
    return x


def integral(own: float, points: list[float], start: float, end: float) -> float:
    """Of a Lagrange polynomial, by Gauss and Legendre's rule of five points, which is exact for it."""
    nodes = (0.0, 0.5384693101056831, -0.5384693101056831, 0.906179845938664, -0.906179845938664)
    weights = (0.5688888888888889, *(0.47862867049936647,) * 2, *(0.23692688505618908,) * 2)
    half, middle = (end - start) / 2, (end + start) / 2
    places = [middle + half * node for node in nodes]
    values = [math.prod((place - other) / (own - other) for other in points if other != own) for place in places]
    return half * sum(a * b for a, b in zip(weights, values, strict=True))


def res_multistep(model: Model, x: Tensor, draw: Draw) -> Tensor:
    old: Any = None
    before = 0.0
    for sigma, target in pairwise(LEVELS):
        denoised = model(x, sigma)
        if old is None or not target:
            x = x + (x - denoised) / sigma * (target - sigma)
        else:
            t, t_next, t_old = -math.log(sigma), -math.log(target), -math.log(before)
            h, c2 = t_next - t, (t_old - t) / (t_next - t)
            phi_1 = math.expm1(-h) / -h
            phi_2 = (phi_1 - 1) / -h
            x = math.exp(-h) * x + h * ((phi_1 - phi_2 / c2) * denoised + phi_2 / c2 * old)
        old, before = denoised, sigma
    return x


def lcm(model: Model, x: Tensor, draw: Draw) -> Tensor:
    for sigma, target in pairwise(LEVELS):
        x = model(x, sigma)
        x = x + target * draw() if target else x
    return x


STATEMENTS: dict[str, Callable[[Model, Tensor, Draw], Tensor]] = {
    one.__name__: one
    for one in (
        *(euler, euler_ancestral, heun, dpm2, dpm2_ancestral, dpmpp_2s_ancestral, dpmpp_2m, dpmpp_2m_sde),
        *(dpmpp_3m_sde, lms, res_multistep, lcm),
    )
}


NAMES: dict[str, Any] = {"dpmpp_3m_sde": "dpmpp_3m_sde_k"}
"""Of samplers that have another name here than their statement."""


def draws() -> Iterator[Tensor]:
    generator = torch.Generator().manual_seed(3)
    while True:
        yield torch.randn(2, 3, 4, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("sampler", STATEMENTS)
def test_a_sampler_equals_its_algorithm(sampler: Any) -> None:
    model, ours, theirs = Curved(), draws(), draws()
    first = next(draws()) * LEVELS[0]
    state = State(first, LEVELS[0])
    *_, last = walk(
        model, SIGMA_SAMPLERS[NAMES.get(sampler, sampler)].step, state, LEVELS[1:], lambda sigma, target: next(ours)
    )
    stated = STATEMENTS[sampler](model, first, lambda: next(theirs))
    assert (last.x - stated).abs().max() <= 1e-4 * stated.abs().max()
