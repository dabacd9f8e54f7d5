"""ComfyUI's schedules have the levels that were measured for SD 1.x, and those of their formulas over a flow."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import scipy.stats

from weft.engine import InputError
from weft.nodes.models.parametrisation import parametrisation_of
from weft.nodes.sampling.comfy_schedules import (
    COMFY_SCHEDULES,
    GUIDED_FLUX,
    ComfySchedule,
    comfy_levels,
    training_levels,
)

SD1 = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000}
FLOW = {"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0}

MEASURED = json.loads((Path(__file__).parent / "comfy_sigmas.json").read_text())["sigmas"]


@pytest.mark.parametrize("name", MEASURED)
def test_levels_are_those_that_were_measured(name: str) -> None:
    schedule, _, steps = name.partition("/")
    ours = comfy_levels(training_levels(parametrisation_of(SD1), "SD1"), schedule, int(steps))  # type: ignore[arg-type]
    assert ours == pytest.approx(MEASURED[name], rel=1e-4)


def test_every_schedule_was_measured() -> None:
    assert {name.partition("/")[0] for name in MEASURED} == {*COMFY_SCHEDULES}


def stated(name: str, levels: list[float], at: Callable[[float], float], ends: tuple[float, float], n: int) -> Any:
    """The formulas of the schedules, over the levels of a model from the lowest up.

    Args:
        at: the level of a timestep.
        ends: the timesteps of the highest and of the lowest level.
    """
    low, high, count = levels[0], levels[-1], len(levels)
    if name == "karras":
        found = numpy.linspace(high ** (1 / 7), low ** (1 / 7), n) ** 7
    elif name == "exponential":
        found = numpy.exp(numpy.linspace(math.log(high), math.log(low), n))
    elif name in ("normal", "sgm_uniform"):
        times = numpy.linspace(*ends, n) if name == "normal" else numpy.linspace(*ends, n + 1)[:-1]
        found = numpy.array([at(time) for time in times])
    elif name == "simple":
        found = numpy.array([levels[count - 1 - math.floor(i * count / n)] for i in range(n)])
    elif name == "ddim_uniform":
        found = numpy.array(levels[1 :: max(count // n, 1)][::-1])
    elif name == "beta":
        places = numpy.rint(scipy.stats.beta.ppf(1 - numpy.arange(n) / n, 0.6, 0.6) * (count - 1)).astype(int)
        found = numpy.array([levels[place] for place in dict.fromkeys(places.tolist())])
    elif name == "linear_quadratic":
        # A line to 0.025, then a x^2 + b x + c that leaves it with its slope, at x = n / 2, and reaches 1 at x = n.
        half = n // 2
        slope = 0.025 / half
        rows = [[half**2, half, 1], [2 * half, 1, 0], [n**2, n, 1]]
        a, b, c = numpy.linalg.solve(numpy.array(rows, dtype=float), [0.025, slope, 1.0])
        steps = numpy.arange(n)
        found = high * (1 - numpy.where(steps < half, slope * steps, a * steps**2 + b * steps + c))
    else:
        share = numpy.arange(n) / (n - 1)
        found = numpy.tan(share * math.atan(low) + (1 - share) * math.atan(high))
    return [*found.tolist(), 0.0]


@pytest.mark.parametrize("model", ["SD1", "SD3"])
@pytest.mark.parametrize("name", COMFY_SCHEDULES)
def test_levels_are_those_of_the_formulas(name: ComfySchedule, model: str) -> None:
    if model == "SD1":
        betas = numpy.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
        levels = (1 / numpy.cumprod(1 - betas) - 1) ** 0.5
        places = numpy.arange(1000)
        ours, ends = training_levels(parametrisation_of(SD1), model), (999.0, 0.0)

        def at(time: float) -> float:
            return math.exp(numpy.interp(time, places, numpy.log(levels)))
    else:

        def at(time: float) -> float:
            return 3 * time / (1 + 2 * time)

        levels = at(numpy.arange(1, 1001) / 1000)  # type: ignore[arg-type, assignment]
        # The lowest level stands for its own timestep, and is shifted twice by `normal` and `sgm_uniform`.
        ours, ends = training_levels(parametrisation_of(FLOW), model), (1.0, float(levels[0]))
    for steps in (4, 7, 20):
        expected = stated(name, levels.tolist(), at, ends, steps)
        assert comfy_levels(ours, name, steps) == pytest.approx(expected, rel=1e-4, abs=1e-9)


def test_less_denoising_takes_the_last_steps_of_a_longer_schedule() -> None:
    model = training_levels(parametrisation_of(SD1), "SD1")
    assert comfy_levels(model, "normal", 6, 0.5) == comfy_levels(model, "normal", 12)[-7:]


def test_flows_are_shifted() -> None:
    flow = training_levels(parametrisation_of(FLOW), "SD3")
    assert comfy_levels(flow, "simple", 2) == pytest.approx([1.0, 3 * 0.5 / (1 + 2 * 0.5), 0.0])
    assert comfy_levels(flow, "sgm_uniform", 2)[1] == pytest.approx(3 * 0.5015 / (1 + 2 * 0.5015), rel=1e-3)
    flux = training_levels(parametrisation_of(FLOW), "FLUX", dynamic=True)
    assert len(flux.levels) == 10_000 and math.isclose(flux.at(0.5), GUIDED_FLUX / (1 + GUIDED_FLUX))


def test_a_shift_belongs_to_flows() -> None:
    with pytest.raises(InputError) as raised:
        training_levels(parametrisation_of(SD1), "SD1", shift=3.0)
    assert raised.value.code == "unsupported-by-model"
