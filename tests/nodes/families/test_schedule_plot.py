"""What is left of a picture at each timestep of a training, by the published formulas of noise schedules."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from tests.refusals import refused
from weft.engine import Engine, Graph
from weft.nodes import LoadCheckpoint, PlotNoiseSchedule
from weft.nodes.library.schedule_plot import curve_points
from weft.nodes.models.parametrisation import parametrisation_of


def alpha_bars(betas: torch.Tensor) -> list[float]:
    return [float(one) for one in torch.cumprod(1 - betas.double(), 0)]


def plotted(engine: Engine, source: str, threshold: float = 0.01, show: Any = "remainder", **options: Any) -> Any:
    with Graph() as graph:
        plot = PlotNoiseSchedule(LoadCheckpoint(source, **options).model, threshold=threshold, show=show)
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


def test_each_curve_has_the_published_numbers() -> None:
    """Betas as they are given; SNR is alpha-bar / (1 - alpha-bar), and sigma its inverse root."""
    betas = torch.linspace(1e-4, 0.02, 1000)
    training = parametrisation_of({"beta_start": 1e-4, "beta_end": 0.02, "beta_schedule": "linear"})
    bars = torch.tensor(alpha_bars(betas), dtype=torch.float64)
    left = curve_points(training, "remainder", [(t, training.remainder(sigma)) for t, sigma in training.levels()])
    wanted = {"remainder": bars, "snr": (bars / (1 - bars)).log10(), "sigma": ((1 - bars) / bars).sqrt(), "beta": betas}
    for show, numbers in wanted.items():
        found = torch.tensor([y for _, y in curve_points(training, show, left)], dtype=torch.float64)
        torch.testing.assert_close(found, numbers.double(), rtol=1e-4, atol=1e-6)


def test_a_schedule_that_ends_in_noise_alone_is_drawn_as_far_as_it_is_finite(engine: Engine) -> None:
    for show in ("snr", "sigma", "beta"):
        found = plotted(engine, "builtin:landscapes", show=show, terminal_snr="zero")
        red = (found["image"].pixels - torch.tensor([220, 20, 60]) / 255).abs().amax(-1) < 0.01
        assert red.any() and found["timestep"] < 999


def test_a_flow_has_no_betas(zoo: Any, engine: Engine) -> None:
    assert plotted(engine, zoo("sd3"), show="snr", threshold=0.25)["timestep"] > 500
    with refused("unsupported-by-model"):
        plotted(engine, zoo("sd3"), show="beta", threshold=0.25)


def test_a_flow_is_plotted_over_its_timesteps(zoo: Any, engine: Engine) -> None:
    found = plotted(engine, zoo("sd3"), threshold=0.25)
    assert 500 < found["timestep"] <= 510  # (1 - sigma) squared is 0.25 at the level 0.5, timestep 500


def test_a_threshold_that_is_never_reached_is_refused(zoo: Any, engine: Engine) -> None:
    with refused("out-of-range"):
        plotted(engine, zoo("ddpm"), threshold=1e-9)


def test_a_model_without_timesteps_is_refused(zoo: Any, engine: Engine) -> None:
    with refused("unsupported-by-model"):
        plotted(engine, zoo("consistency"))
