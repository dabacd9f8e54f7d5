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
from weft.nodes.sampling.comfy_schedules import COMFY_SCHEDULES, comfy_levels, training_levels
from weft.nodes.sampling.sigma_samplers import SIGMA_SAMPLERS
from weft.nodes.sampling.sigma_walk import State, walk

SD1 = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000}
TRAINED = training_levels(parametrisation_of(SD1), "SD1")

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


def euler(model: Model, x: Tensor, draw: Draw, levels: list[float]) -> Tensor:
    for sigma, target in pairwise(levels):
        x = x + (x - model(x, sigma)) / sigma * (target - sigma)
    return x


def euler_ancestral(model: Model, x: Tensor, draw: Draw, levels: list[float]) -> Tensor:
    for sigma, target in pairwise(levels):
        down, up = ancestral(sigma, target)
        x = x + (x - model(x, sigma)) / sigma * (down - sigma)
        x = x + draw() * up if target else x
    return x


def heun(model: Model, x: Tensor, draw: Draw, levels: list[float]) -> Tensor:
    for sigma, target in pairwise(levels):
        slope = (x - model(x, sigma)) / sigma
        ahead = x + slope * (target - sigma)
        if target:
            slope = (slope + (ahead - model(ahead, target)) / target) / 2
        x = x + slope * (target - sigma)
    return x


def dpm2(model: Model, x: Tensor, draw: Draw, levels: list[float], noisy: bool = False) -> Tensor:
    for sigma, target in pairwise(levels):
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


def dpm2_ancestral(model: Model, x: Tensor, draw: Draw, levels: list[float]) -> Tensor:
    return dpm2(model, x, draw, levels, noisy=True)


def dpmpp_2s_ancestral(model: Model, x: Tensor, draw: Draw, levels: list[float]) -> Tensor:
    for sigma, target in pairwise(levels):
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


def dpmpp_2m(model: Model, x: Tensor, draw: Draw, levels: list[float]) -> Tensor:
    old, h_last = None, 0.0
    for sigma, target in pairwise(levels):
        denoised = model(x, sigma)
        h = math.log(sigma / target) if target else math.inf
        r = h_last / h
        used = denoised if old is None or not target else (1 + 1 / (2 * r)) * denoised - 1 / (2 * r) * old
        x = target / sigma * x - math.expm1(-h) * used
        old, h_last = denoised, h
    return x


def dpmpp_2m_sde(model: Model, x: Tensor, draw: Draw, levels: list[float]) -> Tensor:
    old, h_last = None, 0.0
    for sigma, target in pairwise(levels):
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


def dpmpp_3m_sde(model: Model, x: Tensor, draw: Draw, levels: list[float]) -> Tensor:
    seen: list[tuple[Tensor, float]] = []
    for sigma, target in pairwise(levels):
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


def lms(model: Model, x: Tensor, draw: Draw, levels: list[float]) -> Tensor:
    slopes: list[Tensor] = []
    for at, (sigma, target) in enumerate(pairwise(levels)):
        slopes = [*slopes, (x - model(x, sigma)) / sigma][-4:]
        points = levels[: at + 1][-4:]
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


def res_multistep(model: Model, x: Tensor, draw: Draw, levels: list[float]) -> Tensor:
    old: Any = None
    before = 0.0
    for sigma, target in pairwise(levels):
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


def lcm(model: Model, x: Tensor, draw: Draw, levels: list[float]) -> Tensor:
    for sigma, target in pairwise(levels):
        x = model(x, sigma)
        x = x + target * draw() if target else x
    return x


def dpmpp_sde(model: Model, x: Tensor, draw: Draw, levels: list[float]) -> Tensor:
    for sigma, target in pairwise(levels):
        denoised = model(x, sigma)
        if not target:
            return denoised
        t, t_next = -math.log(sigma), -math.log(target)
        middle = math.exp(-(t + (t_next - t) / 2))
        down, up = ancestral(sigma, middle)
        half = down / sigma * x - math.expm1(math.log(down) + t) * denoised + draw() * up
        down, up = ancestral(sigma, target)
        x = down / sigma * x - math.expm1(math.log(down) + t) * model(half, middle) + draw() * up
    return x


def ddim(model: Model, x: Tensor, draw: Draw, levels: list[float]) -> Tensor:
    """With latents that keep their variance, as the paper has them: z = x sqrt(alpha-bar)."""
    for sigma, target in pairwise(levels):
        now, then = 1 / (1 + sigma**2), 1 / (1 + target**2)
        z = x * math.sqrt(now)
        epsilon = (z - math.sqrt(now) * model(x, sigma)) / math.sqrt(1 - now)
        z = math.sqrt(then) * (z - math.sqrt(1 - now) * epsilon) / math.sqrt(now) + math.sqrt(1 - then) * epsilon
        x = z / math.sqrt(then)
    return x


def unipc_bh1(model: Model, x: Tensor, draw: Draw, levels: list[float], second: bool = False) -> Tensor:
    """Predictor and corrector by the paper's matrix R, its functions phi as integrals, B_1(h) = h or B_2."""
    levels = [*levels[:-1], 0.001]
    times = [-math.log(level) for level in levels]
    seen, steps = [model(x, levels[0])], len(levels) - 1
    for at in range(1, steps + 1):
        order = min(3, at, steps + 1 - at)
        h = times[at] - times[at - 1]
        big = math.expm1(-h) if second else -h
        ratios = [(times[at - 1 - back] - times[at - 1]) / h for back in range(1, order)]
        changes = [(seen[-1 - back] - seen[-1]) / ratio for back, ratio in enumerate(ratios, 1)]
        plain = levels[at] / levels[at - 1] * x - math.expm1(-h) * seen[-1]
        rho = [0.5] if order == 2 else solved(ratios, h, big)
        x = plain - big * sum(a * b for a, b in zip(rho, changes, strict=True))
        if at < steps:
            here = model(x, levels[at])
            rho = [0.5] if order == 1 else solved([*ratios, 1.0], h, big)
            x = plain - big * sum(a * b for a, b in zip(rho, [*changes, here - seen[-1]], strict=True))
            seen.append(here)
    return x


def unipc_bh2(model: Model, x: Tensor, draw: Draw, levels: list[float]) -> Tensor:
    return unipc_bh1(model, x, draw, levels, second=True)


def solved(ratios: list[float], h: float, big: float) -> list[float]:
    """rho of R rho = phi / B."""
    if not ratios:
        return []
    d = torch.linspace(0, 1, 2_001, dtype=torch.float64)
    wanted = [-h * torch.trapezoid(torch.exp(-(1 - d) * h) * d**power, d) for power in range(1, len(ratios) + 1)]
    rows = [[ratio**power for ratio in ratios] for power in range(len(ratios))]
    found: list[float] = torch.linalg.solve(torch.tensor(rows, dtype=torch.float64), torch.stack(wanted) / big).tolist()
    return found


def deis_tab(model: Model, x: Tensor, draw: Draw, levels: list[float]) -> Tensor:
    """Slopes as polynomials in the time of VP, whose integrals are sums over a fine grid."""
    low, high, first = math.log(1 + 0.002**2), math.log(1 + 80.0**2), 0.001
    # log(1 + sigma^2) = d t^2 / 2 + b t at both ends.
    ends = torch.tensor([[first**2 / 2, first], [0.5, 1.0]], dtype=torch.float64)
    d, b = torch.linalg.solve(ends, torch.tensor([low, high], dtype=torch.float64)).tolist()
    slopes: list[Tensor] = []
    times = [(-b + math.sqrt(b * b + 2 * d * math.log(1 + level**2))) / d for level in levels]
    for at, (sigma, target) in enumerate(pairwise(levels)):
        slopes = [*slopes, (x - model(x, sigma)) / sigma][-3:]
        if not target:
            return x + (target - sigma) * slopes[-1]
        grid = torch.linspace(times[at], times[at + 1], 2_001, dtype=torch.float64)
        fine = torch.sqrt(torch.exp(d * grid**2 / 2 + b * grid) - 1)
        points = times[: at + 1][-3:]
        for own, slope in zip(points, slopes, strict=True):
            values = torch.ones_like(grid)
            for other in points:
                values = values * ((grid - other) / (own - other) if other != own else 1)
            x = x + torch.trapezoid(values, fine) * slope
    return x


def dpm_fast(model: Model, x: Tensor, draw: Draw, levels: list[float]) -> Tensor:
    """As many predictions as there are steps, three in a group, from the highest level to the lowest above 0."""
    count = len(levels) - 1
    orders = [3] * (count // 3) + [count % 3] if count % 3 else [3] * (count // 3 - 1) + [2, 1]
    ends = -math.log(levels[0]), -math.log(levels[-2])
    times = torch.linspace(*ends, len(orders) + 1, dtype=torch.float64).tolist()

    def epsilon(x: Tensor, time: float) -> Tensor:
        return (x - model(x, math.exp(-time))) / math.exp(-time)

    for t, t_next, order in zip(times, times[1:], orders, strict=False):
        h, first = t_next - t, epsilon(x, t)
        last = torch.zeros_like(x)
        if order == 2:
            half = t + h / 2
            u = x - math.exp(-half) * math.expm1(h / 2) * first
            last = math.expm1(h) * (epsilon(u, half) - first)
        elif order == 3:
            third, two = t + h / 3, t + 2 * h / 3
            u = x - math.exp(-third) * math.expm1(h / 3) * first
            change = epsilon(u, third) - first
            u = x - math.exp(-two) * (
                math.expm1(2 * h / 3) * first + 2 * (math.expm1(2 * h / 3) * 1.5 / h - 1) * change
            )
            last = 1.5 * (math.expm1(h) / h - 1) * (epsilon(u, two) - first)
        x = x - math.exp(-t_next) * (math.expm1(h) * first + last)
    return x


STATEMENTS: dict[str, Callable[[Model, Tensor, Draw, list[float]], Tensor]] = {
    one.__name__: one
    for one in (
        *(euler, euler_ancestral, heun, dpm2, dpm2_ancestral, dpmpp_2s_ancestral, dpmpp_2m, dpmpp_2m_sde),
        *(dpmpp_sde, dpmpp_3m_sde, lms, res_multistep, lcm, ddim, unipc_bh1, unipc_bh2, deis_tab, dpm_fast),
    )
}


NAMES: dict[str, Any] = {"dpmpp_3m_sde": "dpmpp_3m_sde_k"}
"""Of samplers that have another name here than their statement."""


def draws() -> Iterator[Tensor]:
    generator = torch.Generator().manual_seed(3)
    while True:
        yield torch.randn(2, 3, 4, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("sampler", STATEMENTS)
def test_a_sampler_equals_its_algorithm_over_every_schedule(sampler: Any) -> None:
    row = SIGMA_SAMPLERS[NAMES.get(sampler, sampler)]
    for schedule in COMFY_SCHEDULES:
        levels = comfy_levels(TRAINED, schedule, 7)
        model, ours, theirs = Curved(), draws(), draws()
        first = next(draws()) * levels[0]
        _, *targets = row.walked(levels)
        *_, last = walk(model, row.step, State(first, levels[0]), targets, lambda *_: next(ours))  # noqa: B023
        stated = STATEMENTS[sampler](model, first, lambda: next(theirs), levels)  # noqa: B023
        assert (last.x - stated).abs().max() <= 1e-4 * stated.abs().max(), schedule


@pytest.mark.parametrize("steps", range(1, 8))
def test_every_number_of_steps_ends_at_the_picture(steps: int) -> None:
    """The way of a picture that is everywhere 0.3 is known: all samplers end there, but for the noise of their end."""

    class Known(Curved):
        def __call__(self, x: Tensor, sigma: float) -> Tensor:
            return torch.full_like(x, 0.3)

    levels = comfy_levels(TRAINED, "karras", steps)
    for name in ("deis_tab", "unipc_bh1", "unipc_bh2", "dpm_fast"):
        row = SIGMA_SAMPLERS[name]
        _, *targets = row.walked(levels)
        assert len(targets) == steps
        *_, last = walk(Known(), row.step, State(torch.full((2,), 15.0), levels[0]), targets, lambda *_: torch.zeros(2))
        assert last.x.tolist() == pytest.approx([0.3, 0.3], abs=0.05)
