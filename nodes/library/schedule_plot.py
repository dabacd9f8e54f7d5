"""The noise schedule of a model's training, to look at: PlotNoiseSchedule."""

from __future__ import annotations

from typing import Annotated, NamedTuple

from weft.engine import INJECTED, Context, InputError, Range, node
from weft.engine.show.plots import PlotAxis
from weft.nodes.models.denoiser import Denoiser
from weft.nodes.pictures.curves import curve
from weft.nodes.values import F, Image, Model


class PlottedSchedule(NamedTuple):
    """The outputs of PlotNoiseSchedule."""

    image: Image
    timestep: float


@node(category="sampling", lane="gpu")
def PlotNoiseSchedule(
    model: Model[F], *, threshold: Annotated[float, Range(0.0, 1.0)] = 0.01, context: Context = INJECTED
) -> PlottedSchedule:
    """Plot how much of a picture is left at each timestep of a model's training, and find where little is left.

    The y axis is the square of the factor of the picture in what the network sees: the cumulated alpha of a noise
    schedule (https://arxiv.org/abs/2006.11239, equation 4), (1 - sigma) squared of a flow
    (https://arxiv.org/abs/2210.02747), whose timesteps are those of its scheduler. `timestep` is the first at which it
    is below `threshold`.

    Args:
        model: from LoadCheckpoint, with `noise` and `terminal_snr` as they are set there.
        threshold: what counts as little.
    """
    from weft.nodes.models.parametrisation import parametrisation_of

    with context.weights(model, Denoiser) as denoiser:
        points = parametrisation_of(denoiser.scheduler).remainders()
    below = next((timestep for timestep, left in points if left < threshold), None)
    if below is None:
        least = min(left for _, left in points)
        raise InputError(f"at least {least:.4g} of the picture is left", "raise `threshold`", "out-of-range")
    across = PlotAxis("timestep", points[0][0], points[-1][0])
    return PlottedSchedule(Image(curve(points, across, PlotAxis("what is left of the picture", 0.0, 1.0))), below)
