"""The noise levels of ComfyUI's schedules, by their formulas, over the levels that a model was trained with.

The names are ComfyUI's; several of them mean other levels in diffusers (`weft.nodes.sampling.samplers`). Imports no
torch.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

from weft.engine import InputError
from weft.nodes.models.parametrisation import Parametrisation

ComfySchedule = Literal[
    "simple",
    "sgm_uniform",
    "karras",
    "exponential",
    "ddim_uniform",
    "beta",
    "normal",
    "linear_quadratic",
    "kl_optimal",
]

COMFY_SCHEDULES: tuple[ComfySchedule, ...] = get_args(ComfySchedule)

LINEAR_SHARE = 0.025
"""How much of the noise the linear half of `linear_quadratic` takes away (Mochi's published schedule)."""

BETA = 0.6
"""Both parameters of the distribution of `beta` (Lee et al., "Beta Sampling is All You Need", 2024)."""

RHO = 7.0
"""Of `karras` (Karras et al., "Elucidating the Design Space of Diffusion-Based Generative Models", 2022, eq. 5)."""


class TrainingLevels(ABC):
    """The noise levels of a model's training, `levels`, rising, and how they go by timesteps."""

    @property
    @abstractmethod
    def levels(self) -> Sequence[float]:
        """One for each timestep."""

    @abstractmethod
    def at(self, timestep: float) -> float:
        """The level of a timestep, which may lie between two."""

    @abstractmethod
    def timestep(self, level: float) -> float:
        """The timestep of the lowest or the highest level."""

    @property
    def most(self) -> float:
        return self.levels[-1]

    @property
    def least(self) -> float:
        return self.levels[0]


@dataclass(frozen=True)
class VarianceLevels(TrainingLevels):
    """Those of a noise schedule."""

    of: Sequence[float]

    @property
    def levels(self) -> Sequence[float]:
        return self.of

    def at(self, timestep: float) -> float:
        """Between two timesteps by the logarithms of their levels."""
        below = min(max(math.floor(timestep), 0), len(self.of) - 1)
        above, share = min(below + 1, len(self.of) - 1), timestep - below
        return math.exp((1 - share) * math.log(self.of[below]) + share * math.log(self.of[above]))

    def timestep(self, level: float) -> float:
        return float(min(range(len(self.of)), key=lambda one: abs(math.log(level) - math.log(self.of[one]))))


@dataclass(frozen=True)
class FlowLevels(TrainingLevels):
    """Those of a flow: the shares of noise 1 / count to 1, shifted towards noise (Esser et al., 2024, section 5.3.2).

    Args:
        shift: 1 leaves them as they are.
    """

    shift: float
    count: int = 1000

    @cached_property
    def _levels(self) -> Sequence[float]:
        return [self.at((one + 1) / self.count) for one in range(self.count)]

    @property
    def levels(self) -> Sequence[float]:
        return self._levels

    def at(self, timestep: float) -> float:
        return self.shift * timestep / (1 + (self.shift - 1) * timestep)

    def timestep(self, level: float) -> float:
        """The level itself: the lowest level is shifted twice by `normal`, as ComfyUI has it."""
        return level


USUAL_SHIFTS: Mapping[str, float] = {"SD3": 3.0, "QwenImage": 1.15, "ZImage": 3.0, "FLUX": 1.0}
"""The shift of a flow where a graph gives none, by family."""

GUIDED_FLUX = math.exp(1.15)
"""The shift of FLUX.1 [dev] and its kin, whose levels depend on the size of the picture in diffusers."""


def training_levels(
    parametrisation: Parametrisation, family: str, *, dynamic: bool = False, shift: float | None = None
) -> TrainingLevels:
    """The levels that ComfyUI counts for a model.

    Args:
        dynamic: whether the model's levels depend on the size of the picture in diffusers.
        shift: of a flow, instead of the usual one.

    Raises:
        InputError: where the model has no such levels, or a shift is given for one that is no flow.
    """
    if parametrisation.kind == "flow":
        guided = family == "FLUX" and dynamic
        usual = GUIDED_FLUX if guided else USUAL_SHIFTS.get(family, parametrisation.shift)
        return FlowLevels(usual if shift is None else shift, 10_000 if guided else 1000)
    if not parametrisation.has_whole_timesteps:
        message = f"{parametrisation.title} has none of these schedules"
        raise InputError(message, "use MakeSigmas, or leave `sigmas` out", "unsupported-by-model")
    if shift is not None:
        message = f"{parametrisation.title} has no shift"
        raise InputError(message, "leave `shift` out: flow-matching models have one", "unsupported-by-model")
    return VarianceLevels(tuple(parametrisation.training_sigmas))


def _evenly(first: float, last: float, count: int) -> list[float]:
    """So many numbers from the first to the last, both included."""
    return [first + (last - first) * one / max(count - 1, 1) for one in range(count)]


def _karras(model: TrainingLevels, steps: int) -> list[float]:
    roots = _evenly(model.most ** (1 / RHO), model.least ** (1 / RHO), steps)
    return [root**RHO for root in roots]


def _exponential(model: TrainingLevels, steps: int) -> list[float]:
    return [math.exp(one) for one in _evenly(math.log(model.most), math.log(model.least), steps)]


def _normal(model: TrainingLevels, steps: int) -> list[float]:
    first, last = model.timestep(model.most), model.timestep(model.least)
    return [model.at(one) for one in _evenly(first, last, steps)]


def _sgm_uniform(model: TrainingLevels, steps: int) -> list[float]:
    first, last = model.timestep(model.most), model.timestep(model.least)
    return [model.at(one) for one in _evenly(first, last, steps + 1)[:-1]]


def _simple(model: TrainingLevels, steps: int) -> list[float]:
    count = len(model.levels)
    return [model.levels[count - 1 - one * count // steps] for one in range(steps)]


def _ddim_uniform(model: TrainingLevels, steps: int) -> list[float]:
    return [*model.levels[1 :: max(len(model.levels) // steps, 1)]][::-1]


def _beta(model: TrainingLevels, steps: int) -> list[float]:
    from scipy.stats import beta

    places = [beta.ppf(1 - one / steps, BETA, BETA) * (len(model.levels) - 1) for one in range(steps)]
    return [model.levels[place] for place in dict.fromkeys(round(float(one)) for one in places)]


def _linear_quadratic(model: TrainingLevels, steps: int) -> list[float]:
    """Of what is taken away: a line over half of the steps, then a parabola with the same slope at the joint."""
    if steps == 1:
        return [model.most]
    half = steps // 2
    slope, rest = LINEAR_SHARE / half, steps - half
    bend = (1 - LINEAR_SHARE - slope * rest) / rest**2
    taken = [slope * one for one in range(half)]
    taken += [LINEAR_SHARE + slope * one + bend * one**2 for one in range(rest)]
    return [model.most * (1 - one) for one in taken]


def _kl_optimal(model: TrainingLevels, steps: int) -> list[float]:
    return [math.tan(one) for one in _evenly(math.atan(model.most), math.atan(model.least), steps)]


_FORMULAS: Mapping[ComfySchedule, Callable[[TrainingLevels, int], list[float]]] = {
    "simple": _simple,
    "sgm_uniform": _sgm_uniform,
    "karras": _karras,
    "exponential": _exponential,
    "ddim_uniform": _ddim_uniform,
    "beta": _beta,
    "normal": _normal,
    "linear_quadratic": _linear_quadratic,
    "kl_optimal": _kl_optimal,
}


def comfy_levels(model: TrainingLevels, schedule: ComfySchedule, steps: int, denoise: float = 1.0) -> list[float]:
    """The levels of a schedule, down to 0.

    Args:
        denoise: below 1, the last `steps` steps of a schedule of floor(steps / denoise) steps.
    """
    whole = steps if denoise > 0.9999 else int(steps / denoise)
    levels = [*_FORMULAS[schedule](model, whole), 0.0]
    return levels if whole == steps else levels[-(steps + 1) :]
