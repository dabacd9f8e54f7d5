"""Noise levels as values: MakeSigmas, ListSigmas, SplitSigmas, FlipSigmas, SetFirstSigma and PlotSigmas.

KSampler walks them instead of a schedule of its own, by a sampler of `weft.nodes.sampling.sigma_samplers`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, Generic, NamedTuple

from weft.engine import ADDED_LATER, INJECTED, Context, InputError, Limits, NodeProblem, Range, node, value
from weft.engine.show.plots import PlotAxis
from weft.nodes.models.denoiser import Denoiser
from weft.nodes.pictures.curves import curve
from weft.nodes.sampling.level_walk import LevelWalk
from weft.nodes.sampling.sampler_choices import ScheduleInput
from weft.nodes.sampling.schedule_checks import sigmas_fit
from weft.nodes.value_checks import check_tensor
from weft.nodes.values import F, Image, Latent, Model

if TYPE_CHECKING:
    from torch import Tensor


@value
@dataclass(frozen=True, eq=False)
class Sigmas(Generic[F]):
    """Noise levels of a sampling run, `levels` `[steps + 1]`: falling, or rising to add noise to a picture.

    For models with a noise schedule a level is the ratio of noise to signal, above 0; for flow-matching models it is
    the share of noise, 0 to 1. A run that ends at 0 leaves no noise. What else a run goes by is as
    `weft.nodes.sampling.level_walk` has it.
    """

    levels: Tensor
    unit_start: bool | None = field(default=None, metadata=ADDED_LATER)
    nearest_timesteps: bool = field(default=False, metadata=ADDED_LATER)

    def check_value(self) -> None:
        """Raise `InputError` for levels that are no list of two or more finite numbers."""
        check_tensor("the levels of Sigmas", self.levels, ("level",))
        if len(self.levels) < 2:
            raise InputError("Sigmas have one level, which makes no step", "give two or more", "wrong-tensor")

    @property
    def walk(self) -> LevelWalk:
        """The run over these levels."""
        return LevelWalk(self.levels.tolist(), self.unit_start, self.nearest_timesteps)

    def __repr__(self) -> str:
        first, last = float(self.levels[0]), float(self.levels[-1])
        return f"Sigmas({len(self.levels) - 1} steps, {first:.4g} to {last:.4g})"


class SigmaParts(NamedTuple, Generic[F]):
    """The outputs of SplitSigmas."""

    before: Sigmas[F]
    after: Sigmas[F]


@node(category="sampling", lane="gpu", fits=sigmas_fit)
def MakeSigmas(
    model: Model[F],
    latent: Latent[F] | None = None,
    *,
    steps: Annotated[int, Range(1, 10_000)] = 20,
    schedule: ScheduleInput = "model",
    context: Context = INJECTED,
) -> Sigmas[F]:
    """The noise levels of a model over some steps, down to 0, as the sampler `euler` uses them.

    Args:
        model: from LoadCheckpoint.
        latent: the latent to sample, for models whose levels depend on its size (FLUX.1).
        steps: the number of steps.
        schedule: how they are spaced; `model` is the checkpoint's own spacing.
    """
    from weft.nodes.models.parametrisation import parametrisation_of
    from weft.nodes.sampling.aligned_steps import timing_of
    from weft.nodes.sampling.scheduler_run import SchedulerRun, make_scheduler

    with context.weights(model, Denoiser) as denoiser:
        config = denoiser.scheduler
        if latent is None and config.get("use_dynamic_shifting"):
            raise InputError("the model's noise levels depend on the picture's size", "link `latent`", "missing-input")
        timing = timing_of(denoiser, steps, latent, schedule)
    changed = denoiser.scheduler_config(own_class=False)
    scheduler = make_scheduler(changed, "euler", schedule, steps, spaces_steps=denoiser.spaces_steps)
    run = SchedulerRun(scheduler, parametrisation_of(config), steps=steps, generators=[], timing=timing)
    return Sigmas(run.scheduler.sigmas.float().cpu())


def _check_levels(inputs: Mapping[str, Any], limits: Limits) -> Iterable[NodeProblem]:
    """The levels must fall, or rise."""
    levels = inputs.get("levels")
    if levels is not None and (fault := _fault(levels)):
        yield NodeProblem(
            "levels", fault, "give two levels or more, from 0 up, each lower than the one before", "wrong-levels"
        )


def _fault(levels: list[float]) -> str | None:
    """The fault of a list of levels, or None."""
    if len(levels) < 2:
        return f"{len(levels)} levels make no step"
    if min(levels) < 0:
        return f"a level lies below 0: {levels}"
    steps = [later - earlier for earlier, later in pairwise(levels)]
    if min(steps) < 0 < max(steps) or 0 in steps:
        return f"the levels are not strictly monotonic: {levels}"
    return None


@node(category="sampling", check=_check_levels)
def ListSigmas(levels: list[float]) -> Sigmas[Any]:
    """Noise levels from a list.

    Args:
        levels: 0 or more, falling; or rising, to add noise to a picture. End at 0 to leave no noise.
    """
    import torch

    if fault := _fault(levels):
        raise InputError(fault, "give two levels or more, from 0 up, each lower than the one before", "wrong-levels")
    return Sigmas(torch.tensor(levels, dtype=torch.float32))


@node(category="sampling")
def SplitSigmas(sigmas: Sigmas[F], *, step: Annotated[int, Range(1, 10_000)] = 10) -> SigmaParts[F]:
    """Split a run at a step for two samplers: the second continues at the level where the first ends.

    Set `add_noise` to false for the second. A multistep sampler (dpmpp_2m) starts there without its history, and noise
    of the steps is drawn from the seed again.

    Args:
        sigmas: of the whole run.
        step: the number of steps before the split.
    """
    steps = len(sigmas.levels) - 1
    if step >= steps:
        raise InputError(f"nothing lies after step {step} of {steps}", f"split at 1 to {steps - 1}", "out-of-range")
    before, after = sigmas.levels[: step + 1], sigmas.levels[step:]
    # At the split is more than noise, whatever the run began with.
    later = replace(sigmas, levels=after, unit_start=None if sigmas.unit_start is None else False)
    return SigmaParts(replace(sigmas, levels=before), later)


@node(category="sampling")
def FlipSigmas(sigmas: Sigmas[F], *, least: Annotated[float, Range(1e-6, 1.0)] = 0.01) -> Sigmas[F]:
    """Reverse noise levels: rising levels find the noise that a picture would be sampled from.

    Args:
        sigmas: falling, or rising.
        least: replaces a level of 0 at the start, where a run cannot begin.
    """
    flipped = sigmas.levels.flip(0)
    if flipped[0] == 0:
        if least >= flipped[1]:
            raise InputError(
                f"`least` is {least}, and the next level {flipped[1]:.4g}", "choose a lower one", "out-of-range"
            )
        flipped[0] = least
    return Sigmas(flipped)


@node(category="sampling")
def SetFirstSigma(sigmas: Sigmas[F], sigma: Annotated[float, Range(1e-6, 20_000.0)]) -> Sigmas[F]:
    """Begin a run at another noise level.

    Args:
        sigmas: falling levels, of which the first one is replaced.
        sigma: above the second one. A level beyond those of a model's training counts as the highest of these where its
            timestep is looked up.
    """
    levels = sigmas.levels.clone()
    if sigma <= levels[1]:
        message = f"the first level would be {sigma:g}, and the second is {float(levels[1]):.4g}"
        raise InputError(message, "give a higher one", "wrong-levels")
    # A run that begins below noise alone begins with more than noise.
    lower = sigma < levels[0]
    levels[0] = sigma
    return replace(sigmas, levels=levels, unit_start=False if lower and sigmas.unit_start else sigmas.unit_start)


@node(category="sampling", version=2)
def PlotSigmas(sigmas: Sigmas[F]) -> Image:
    """Plot noise levels over steps.

    Args:
        sigmas: steps are on the x axis, levels on the y axis from 0 to the greatest.
    """
    levels = sigmas.levels.tolist()
    steps = PlotAxis("step", 0.0, float(len(levels) - 1))
    return Image(curve([*enumerate(levels)], steps, PlotAxis("noise level", 0.0, max(levels)), marked=True))
