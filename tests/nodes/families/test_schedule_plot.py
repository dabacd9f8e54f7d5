"""What is left of a picture at each timestep of a training, by the published formulas of noise schedules."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from tests.refusals import refused
from weft.engine import Engine, Graph
from weft.nodes import LoadCheckpoint, PlotNoiseSchedule


def alpha_bars(betas: torch.Tensor) -> list[float]:
    return [float(one) for one in torch.cumprod(1 - betas.double(), 0)]


def plotted(engine: Engine, source: str, threshold: float = 0.01, **options: Any) -> Any:
    with Graph() as graph:
        plot = PlotNoiseSchedule(LoadCheckpoint(source, **options).model, threshold=threshold)
        graph.output("image", plot.image)
        graph.output("timestep", plot.timestep)
    return engine.run(graph).outputs


@pytest.mark.parametrize("threshold", [0.01, 0.5])
def test_the_linear_schedule_of_ddpm(zoo: Any, engine: Engine, threshold: float) -> None:
    """Ho et al., 2020, section 4: betas from 1e-4 to 0.02 in 1000 steps."""
    left = alpha_bars(torch.linspace(1e-4, 0.02, 1000))
    below = next(timestep for timestep, one in enumerate(left) if one < threshold)
    found = plotted(engine, zoo("ddpm"), threshold)
    assert found["timestep"] == below
    assert found["image"].pixels.shape == (1, 320, 512, 3)


def test_the_cosine_schedule(engine: Engine) -> None:
    """Nichol and Dhariwal, 2021, equation 17, with s = 0.008."""
    angles = [((step / 1000 + 0.008) / 1.008) * math.pi / 2 for step in range(1001)]
    left = [math.cos(angle) ** 2 / math.cos(angles[0]) ** 2 for angle in angles[1:]]
    below = next(timestep for timestep, one in enumerate(left) if one < 0.01)
    assert abs(plotted(engine, "builtin:landscapes", noise="cosine")["timestep"] - below) <= 1


def test_a_flow_is_plotted_over_its_timesteps(zoo: Any, engine: Engine) -> None:
    found = plotted(engine, zoo("sd3"), threshold=0.25)
    assert 500 < found["timestep"] <= 510  # (1 - sigma) squared is 0.25 at the level 0.5, timestep 500


def test_a_threshold_that_is_never_reached_is_refused(zoo: Any, engine: Engine) -> None:
    with refused("out-of-range"):
        plotted(engine, zoo("ddpm"), threshold=1e-9)


def test_a_model_without_timesteps_is_refused(zoo: Any, engine: Engine) -> None:
    with refused("unsupported-by-model"):
        plotted(engine, zoo("consistency"))
