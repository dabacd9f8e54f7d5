"""Noise levels as ComfyUI counts them: MakeComfySigmas and MakeFlux2Sigmas."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any

from weft.engine import INJECTED, Context, InputError, Limits, NodeProblem, Range, Upstream, node
from weft.nodes.library.sigmas import Sigmas
from weft.nodes.models.denoiser import Denoiser
from weft.nodes.models.parametrisation import parametrisation_of
from weft.nodes.sampling.comfy_schedules import ComfySchedule, comfy_levels, training_levels
from weft.nodes.sampling.model_links import model_behind
from weft.nodes.values import F, Model


def _check_steps(inputs: Mapping[str, Any], limits: Limits) -> Iterable[NodeProblem]:
    """The part of the steps must have one."""
    start, end, steps = inputs.get("start_step", 0), inputs.get("end_step"), inputs.get("steps")
    last = steps if end is None else min(end, steps or end)
    if last is not None and start >= last:
        message = f"no step lies from step {start} to step {last}"
        yield NodeProblem("start_step", message, "start earlier, or end later", "empty-interval")


def _comfy_fits(maker: Upstream) -> Iterator[NodeProblem]:
    """The model must have levels of these schedules, and a shift if one is given."""
    model = model_behind(maker)
    if model is None:
        return
    try:
        training_levels(parametrisation_of(model.scheduler), model.family.name, shift=maker.literals.get("shift"))
    except InputError as fault:
        yield NodeProblem.of(fault, "model", after=f"; {model}")


@node(category="sampling", lane="gpu", check=_check_steps, fits=_comfy_fits)
def MakeComfySigmas(
    model: Model[F],
    *,
    steps: Annotated[int, Range(1, 10_000)] = 20,
    schedule: ComfySchedule = "normal",
    denoise: Annotated[float, Range(0.0001, 1.0)] = 1.0,
    start_step: Annotated[int, Range(0, 10_000)] = 0,
    end_step: Annotated[int | None, Range(1, 10_000)] = None,
    to_zero: bool = False,
    shift: Annotated[float | None, Range(0.0, 100.0)] = None,
    context: Context = INJECTED,
) -> Sigmas[F]:
    """The noise levels of a model as ComfyUI counts them, for graphs that come from there.

    A run over them begins as ComfyUI's runs do, and models with a noise schedule get the nearest timestep of their
    training. KSampler with these levels, one of ComfyUI's samplers and `generator` at `batch` gives ComfyUI's pictures
    as far as its own noise is drawn on the CPU: samplers that draw noise in each step draw it on a GPU there.

    Args:
        model: from LoadCheckpoint.
        steps: of the whole schedule.
        schedule: how the levels are spaced, by ComfyUI's names and formulas; diffusers' of the same names differ.
        denoise: below 1, only the last `steps` of steps / denoise steps are run, on given latents.
        start_step: the first step that is run, counted from 0.
        end_step: the step to stop before; null, or a number beyond the last, runs to the end.
        to_zero: whether the last level of a run that stops early is 0, so that no noise is left.
        shift: of the levels of a flow-matching model towards noise: 3 for SD 3 and Z-Image. Null is the family's.
    """
    with context.weights(model, Denoiser) as denoiser:
        config = denoiser.scheduler
    dynamic = bool(config.get("use_dynamic_shifting"))
    training = training_levels(parametrisation_of(config), model.family, dynamic=dynamic, shift=shift)
    return sigmas_of(comfy_levels(training, schedule, steps, denoise), training.most, start_step, end_step, to_zero)


@node(category="sampling")
def MakeFlux2Sigmas(
    width: Annotated[int, Range(16, 65536)] = 1024,
    height: Annotated[int, Range(16, 65536)] = 1024,
    *,
    steps: Annotated[int, Range(1, 10_000)] = 20,
) -> Sigmas[Any]:
    """The noise levels of FLUX.2: evenly spaced, then shifted by the size of the picture and by the number of steps.

    KSampler's own schedule (`model`) has the same for the size of its latents; this is for graphs that come from
    ComfyUI, where a node of its own has the size (the schedule of https://github.com/black-forest-labs/flux2).

    Args:
        width: in pixels; a token is 16 of them wide.
        height: in pixels.
        steps: of the run.
    """
    import torch

    from weft.nodes.families.flux2 import shift_of

    shift = math.exp(shift_of(round(width * height / 256), steps))
    even = [1 - step / steps for step in range(steps + 1)]
    levels = [shift * level / (1 + (shift - 1) * level) for level in even]
    return Sigmas(torch.tensor(levels, dtype=torch.float32))


def sigmas_of(levels: list[float], most: float, start: int, end: int | None, to_zero: bool) -> Sigmas[Any]:
    """A part of a schedule's levels.

    Args:
        most: the highest level of the model's training, at which a run begins with noise of unit variance.
    """
    import torch

    part = levels[start : end + 1] if end is not None else levels[start:]
    if len(part) < 2:
        raise InputError(f"nothing lies after step {start} of {len(levels) - 1}", "start earlier", "empty-interval")
    if to_zero:
        part[-1] = 0.0
    whole = part[0] > most or math.isclose(part[0], most, rel_tol=1e-5)
    return Sigmas(torch.tensor(part, dtype=torch.float32), unit_start=whole, nearest_timesteps=True)
