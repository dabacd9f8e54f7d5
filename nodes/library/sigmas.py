"""Noise levels as values: MakeSigmas, ListSigmas, SplitSigmas, FlipSigmas and PlotSigmas.

KSampler walks them instead of a schedule of its own, by a sampler of `weft.nodes.sampling.sigma_samplers`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, Generic, NamedTuple

from weft.engine import INJECTED, Context, InputError, Limits, NodeProblem, Range, node, value
from weft.nodes.sampling.samplers import ScheduleName
from weft.nodes.values import F, Image, Latent, Model

if TYPE_CHECKING:
    from torch import Tensor

PLOT_WIDTH, PLOT_HEIGHT, MARGIN = 512, 320, 24
"""Pixels of a plot, and of the white around it."""


@value
@dataclass(frozen=True, eq=False)
class Sigmas(Generic[F]):
    """The noise levels that a run goes through, `levels` `[steps + 1]`, falling; or rising, which noises a picture.

    Under a noise schedule a level is the ratio of noise to picture, above 0; over a flow it is the share of noise, 0 to
    1. A run that ends in 0 leaves no noise.
    """

    levels: Tensor

    def __repr__(self) -> str:
        first, last = float(self.levels[0]), float(self.levels[-1])
        return f"Sigmas({len(self.levels) - 1} steps, {first:.4g} to {last:.4g})"


class SigmaParts(NamedTuple, Generic[F]):
    """What SplitSigmas gives."""

    before: Sigmas[F]
    after: Sigmas[F]


@node(category="sampling", lane="gpu")
def MakeSigmas(
    model: Model[F],
    latent: Latent[F] | None = None,
    *,
    steps: Annotated[int, Range(1, 10_000)] = 20,
    schedule: ScheduleName = "model",
    context: Context = INJECTED,
) -> Sigmas[F]:
    """Space the noise levels of a model over some steps, down to 0: those that the sampler `euler` has.

    Args:
        model: from LoadCheckpoint.
        latent: what will be sampled, for models whose levels depend on its size (FLUX.1).
        steps: how many steps the levels make.
        schedule: how they are spaced; `model` is the checkpoint's own spacing.
    """
    from weft.nodes.sampling.stepper import SchedulerStepper, make_scheduler

    with context.weights(model) as denoiser:
        config = denoiser.scheduler
        if latent is None and config.get("use_dynamic_shifting"):
            raise InputError("the model's noise levels depend on the picture's size", "link `latent`")
        timing = denoiser.timing(steps, latent) if latent else {}
    scheduler = make_scheduler(config, "euler", schedule)
    stepper = SchedulerStepper(scheduler, steps=steps, generators=[], timing=timing)
    return Sigmas(stepper.scheduler.sigmas.float().cpu())


def _check_levels(inputs: Mapping[str, Any], limits: Limits) -> Iterable[NodeProblem]:
    """The levels must be a way down, or up."""
    levels = inputs.get("levels")
    if levels is not None and (fault := _fault(levels)):
        yield NodeProblem("levels", fault, "give two levels or more, from 0 up, each lower than the one before")


def _fault(levels: list[float]) -> str | None:
    """What is wrong with levels, if something is."""
    if len(levels) < 2:
        return f"{len(levels)} levels make no step"
    if min(levels) < 0:
        return f"a level lies below 0: {levels}"
    steps = [later - earlier for earlier, later in pairwise(levels)]
    if min(steps) < 0 < max(steps) or 0 in steps:
        return f"the levels neither fall all the way nor rise: {levels}"
    return None


@node(category="sampling", check=_check_levels)
def ListSigmas(levels: list[float]) -> Sigmas[Any]:
    """Take noise levels as they are given.

    Args:
        levels: from 0 up, falling; or rising, to noise a picture. The last is 0 where no noise is to be left.
    """
    import torch

    if fault := _fault(levels):
        raise InputError(fault, "give two levels or more, from 0 up, each lower than the one before")
    return Sigmas(torch.tensor(levels, dtype=torch.float32))


@node(category="sampling")
def SplitSigmas(sigmas: Sigmas[F], *, step: Annotated[int, Range(1, 10_000)] = 10) -> SigmaParts[F]:
    """Part a run at a step, for two samplers: the first goes down to a level from which the second goes on.

    The second is given the latents as they are (`add_noise` false). A sampler that looks back (dpmpp_2m) has nothing to
    look back at there, and noise that steps draw is drawn from the seed again.

    Args:
        sigmas: of the whole run.
        step: how many steps lie before.
    """
    steps = len(sigmas.levels) - 1
    if step >= steps:
        raise InputError(f"nothing lies after step {step} of {steps}", f"split at 1 to {steps - 1}")
    return SigmaParts(Sigmas(sigmas.levels[: step + 1]), Sigmas(sigmas.levels[step:]))


@node(category="sampling")
def FlipSigmas(sigmas: Sigmas[F], *, least: Annotated[float, Range(1e-6, 1.0)] = 0.01) -> Sigmas[F]:
    """Go through noise levels the other way round: up, to find the noise that a picture would come from.

    Args:
        sigmas: falling, or rising.
        least: stands for level 0, where no run can begin.
    """
    flipped = sigmas.levels.flip(0)
    if flipped[0] == 0:
        if least >= flipped[1]:
            raise InputError(f"`least` is {least}, and the next level {flipped[1]:.4g}", "choose a lower one")
        flipped[0] = least
    return Sigmas(flipped)


@node(category="sampling")
def PlotSigmas(sigmas: Sigmas[F]) -> Image:
    """Draw noise levels over steps.

    Args:
        sigmas: steps go from left to right, levels from 0 up to the greatest.
    """
    import numpy
    import torch
    from PIL import Image as Pictures
    from PIL import ImageDraw

    levels = sigmas.levels.tolist()
    steps, most = len(levels) - 1, max(levels)
    bottom, right = PLOT_HEIGHT - MARGIN, PLOT_WIDTH - MARGIN
    picture = Pictures.new("RGB", (PLOT_WIDTH, PLOT_HEIGHT), "white")
    draw = ImageDraw.Draw(picture)
    draw.line([(MARGIN, MARGIN), (MARGIN, bottom), (right, bottom)], fill="grey")
    points = [
        (MARGIN + index / steps * (right - MARGIN), bottom - level / most * (bottom - MARGIN))
        for index, level in enumerate(levels)
    ]
    draw.line(points, fill="steelblue", width=2)
    for across, down in points:
        draw.ellipse([across - 2, down - 2, across + 2, down + 2], fill="steelblue")
    draw.text((MARGIN + 4, MARGIN - 18), f"{most:.4g}", fill="black")
    draw.text((right - 60, bottom + 6), f"{steps} steps", fill="black")
    return Image(torch.from_numpy(numpy.asarray(picture).astype("float32") / 255)[None])
