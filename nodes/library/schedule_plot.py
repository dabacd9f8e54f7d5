"""The noise schedule of a model's training, to look at: PlotNoiseSchedule."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Literal, NamedTuple

from weft.engine import ADDED_LATER, INJECTED, Choices, Context, InputError, Range, node
from weft.engine.show.plots import PlotAxis, PlotMark, around
from weft.nodes.models.denoiser import Denoiser
from weft.nodes.models.parametrisation import Parametrisation
from weft.nodes.pictures.curves import curve
from weft.nodes.values import F, Image, Model

ScheduleCurve = Annotated[
    Literal["remainder", "snr", "sigma", "beta"],
    Choices(
        {
            "remainder": "what is left of the picture: alpha-bar of a noise schedule",
            "snr": "the signal-to-noise ratio, as its decimal logarithm",
            "sigma": "the noise level: noise over picture, of a flow the share of noise",
            "beta": "the variance that a timestep adds, of a noise schedule",
        }
    ),
]


TITLES = {
    "remainder": "what is left of the picture (alpha-bar)",
    "snr": "log10 of the signal-to-noise ratio",
    "sigma": "noise level (sigma)",
    "beta": "beta",
}
"""What the y axis shows."""


class PlottedSchedule(NamedTuple):
    """The outputs of PlotNoiseSchedule."""

    image: Image
    timestep: float


@node(category="sampling", lane="gpu", version=2)
def PlotNoiseSchedule(
    model: Model[F],
    *,
    threshold: Annotated[float, Range(0.0, 1.0)] = 0.01,
    show: Annotated[ScheduleCurve, ADDED_LATER] = "remainder",
    context: Context = INJECTED,
) -> PlottedSchedule:
    """Plot the noise schedule of a model's training over its timesteps, and name the first at which little is left.

    What is left of a picture is the square of its factor in what the network sees: the cumulated alpha of a noise
    schedule, alpha-bar (https://arxiv.org/abs/2006.11239, equation 4), (1 - sigma) squared of a flow
    (https://arxiv.org/abs/2210.02747), whose timesteps are those of its scheduler. `timestep` is the first at which it
    is below `threshold`; it is a named point on each curve.

    Args:
        model: from LoadCheckpoint, with `noise` and `terminal_snr` as they are set there.
        threshold: what counts as little.
        show: which curve is drawn. Of a schedule that ends in noise alone the last ratio and level are not finite and
            are left out.
    """
    from weft.nodes.models.parametrisation import parametrisation_of

    with context.weights(model, Denoiser) as denoiser:
        training = parametrisation_of(denoiser.scheduler)
    left = [(timestep, training.remainder(sigma)) for timestep, sigma in training.levels()]
    below = next((timestep for timestep, one in left if one < threshold), None)
    if below is None:
        least = min(one for _, one in left)
        raise InputError(f"at least {least:.4g} of the picture is left", "raise `threshold`", "out-of-range")
    points = curve_points(training, show, left)
    across = PlotAxis("timestep", left[0][0], left[-1][0])
    up = PlotAxis(TITLES[show], 0.0, 1.0) if show == "remainder" else around(TITLES[show], [y for _, y in points])
    value = dict(left)[below]
    marks = [PlotMark(x, y, f"{below:g}: {value:.4g} is left") for x, y in points if x == below]
    return PlottedSchedule(Image(curve(points, across, up, marks=marks)), below)


def curve_points(
    training: Parametrisation, show: str, left: Sequence[tuple[float, float]]
) -> Sequence[tuple[float, float]]:
    """The points of a curve that are finite.

    Args:
        show: which curve.
        left: how much of a picture is left at each timestep.

    Raises:
        InputError: for betas of a model that has none.
    """
    if show == "remainder":
        return left
    if show == "beta":
        if not training.has_whole_timesteps:
            raise InputError(f"{training.title} has no betas", "show another curve", "unsupported-by-model")
        before = [1.0, *(one for _, one in left)]
        return [(timestep, 1 - after / one) for (timestep, _), (one, after) in zip(left, pairwise(before), strict=True)]
    levels = [(timestep, sigma) for timestep, sigma in training.levels() if 0 < sigma < math.inf]
    if show == "sigma":
        return [*levels]
    ratios = ((timestep, (training.alpha(sigma) / sigma) ** 2) for timestep, sigma in levels)
    return [(timestep, math.log10(ratio)) for timestep, ratio in ratios if ratio > 0]
