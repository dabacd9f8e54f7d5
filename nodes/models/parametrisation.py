"""Parametrisations: what a network predicts, and how its timesteps belong to noise levels.

Noisy latents at the level sigma are x = alpha x_0 + sigma epsilon. Under a noise schedule alpha is 1 and sigma is the
ratio of noise to picture (Karras et al., "Elucidating the Design Space of Diffusion-Based Generative Models", 2022,
section 2); over a flow alpha is 1 - sigma and sigma is the share of noise. What the network sees is x divided by
`input_scale`.

`parametrisation_of` chooses a parametrisation by the class name and the settings of diffusers' scheduler. A new
parametrisation is a class in this file and an entry of `PARAMETRISATIONS`; the samplers that support it have its `kind`
in their rows (`weft.nodes.sampling.samplers`). Nothing here imports torch, so checks before a run can read it.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from weft.engine import InputError, nearest

if TYPE_CHECKING:
    from typing import Self

    from torch import Tensor

SchedulerConfig = Mapping[str, Any]
"""The configuration of a diffusers scheduler, as its JSON file has it."""

BETAS = ("beta_start", "beta_end")
"""The options for the first and the last beta of a noise schedule."""

ZERO_SNR = "rescale_betas_zero_snr"
"""The option that rescales a noise schedule so that it ends in noise alone (https://arxiv.org/abs/2305.08891)."""

NEEDS_ZERO_SNR = "weft_needs_zero_snr"
"""An entry of a configuration whose samplers must have the option `ZERO_SNR`; without it, diffusers' classes that lack
the option leave it out."""


class Parametrisation(ABC):
    """What a network predicts. Levels (sigma) and timesteps are numbers of a scheduler over its whole training."""

    kind: ClassVar[str]
    """Its name in the table of samplers."""

    title: ClassVar[str]
    """What messages call a model with it."""

    fixed_settings: ClassVar[frozenset[str]] = frozenset()
    """The options of a scheduler's configuration that a user cannot set otherwise."""

    keeps_schedule: ClassVar[bool] = False
    """Whether every sampler has to follow the schedule (karras, exponential, beta) that the configuration names."""

    has_sigma_form: ClassVar[bool] = True
    """Whether samplers can walk a given list of levels with it."""

    has_whole_timesteps: ClassVar[bool] = False
    """Whether networks were trained at whole timesteps: `training_sigmas` has their levels."""

    shift: float = 1.0
    """Of the levels of a flow towards noise."""

    @property
    def training_sigmas(self) -> Sequence[float]:
        """The level of each timestep of the training; none where there are no whole ones."""
        return ()

    @classmethod
    @abstractmethod
    def of(cls, config: SchedulerConfig) -> Self | None:
        """The parametrisation that a scheduler's configuration describes, if it is of this class."""

    @property
    def solver_options(self) -> Mapping[str, object]:
        """What a solver's configuration needs besides the model's own to follow it."""
        return MappingProxyType({})

    def alpha(self, sigma: float) -> float:
        """What the picture is multiplied by at a level."""
        return 1.0

    def input_scale(self, sigma: float) -> float:
        """What latents at a level are divided by for the network."""
        return 1.0

    @abstractmethod
    def timestep(self, sigma: float) -> float:
        """The timestep of a level."""

    @abstractmethod
    def sigma(self, timestep: float) -> float:
        """The level of a timestep."""

    def forward(self, clean: Tensor, noise: Tensor, timestep: float) -> Tensor:
        """x_t as the network sees it: latents under the noise of a timestep of the training.

        Raises:
            InputError: where the training has no such timestep.
        """
        self.check_timestep(timestep)
        sigma = self.sigma(timestep)
        return (self.alpha(sigma) * clean + sigma * noise) / self.input_scale(sigma)

    def check_timestep(self, timestep: float) -> None:
        """Raise `InputError` where the training has no such timestep."""
        raise InputError(
            f"{self.title} has no timesteps of its training", "give noise levels (`sigmas`)", "unsupported-by-model"
        )

    def levels(self) -> Sequence[tuple[float, float]]:
        """The timesteps of the training, with the noise level of each.

        Raises:
            InputError: where the training has no timesteps.
        """
        raise InputError(
            f"{self.title} has no timesteps of its training",
            "plot the levels of a run (MakeSigmas, PlotSigmas)",
            "unsupported-by-model",
        )

    def remainder(self, sigma: float) -> float:
        """The square of the factor that a picture has in what the network sees at a level."""
        return self.alpha(sigma) ** 2

    @abstractmethod
    def denoised(self, prediction: Tensor, seen: Tensor, sigma: float) -> Tensor:
        """x_0: the latents without the noise that a prediction finds in them.

        Args:
            seen: what the network saw: x divided by `input_scale`.
            sigma: the level of x.
        """


@dataclass(frozen=True)
class NoiseSchedule(Parametrisation):
    """A diffusion with a schedule of variances over the training's timesteps; subclasses say what is predicted.

    The network sees alpha' x_0 + sigma' epsilon with alpha'^2 + sigma'^2 = 1, so sigma is sigma' / alpha'.
    """

    has_whole_timesteps: ClassVar[bool] = True

    config: SchedulerConfig = field(repr=False)

    @classmethod
    def of(cls, config: SchedulerConfig) -> Self | None:
        return cls(config) if config.get("prediction_type", "epsilon") == cls.kind else None

    @cached_property
    def training_sigmas(self) -> Sequence[float]:
        """The level of each timestep of the training, rising."""
        import diffusers

        from weft.nodes.models.silence_libraries import quietly

        # DDPM's scheduler knows every schedule of betas. A level is finite: where a schedule ends in noise alone, its
        # last alpha is the one that diffusers' Euler scheduler puts there.
        scheduler_class: Any = diffusers.DDPMScheduler
        with quietly():
            scheduler = scheduler_class.from_config(dict(self.config))
        cumulated = scheduler.alphas_cumprod.double().tolist()
        return [math.sqrt((1 - alpha) / alpha) for alpha in (alpha or 2.0**-24 for alpha in cumulated)]

    @cached_property
    def _logarithms(self) -> Sequence[float]:
        return [math.log(sigma) for sigma in self.training_sigmas]

    def input_scale(self, sigma: float) -> float:
        return math.hypot(1, sigma)

    def timestep(self, sigma: float) -> float:
        """Between two timesteps of the training by logarithms of their levels; beyond them, the first or the last."""
        levels = self._logarithms
        logarithm = min(max(math.log(sigma), levels[0]), levels[-1])
        above = min(max(bisect_left(levels, logarithm), 1), len(levels) - 1)
        low, high = levels[above - 1], levels[above]
        return above - 1 + (logarithm - low) / (high - low)

    def sigma(self, timestep: float) -> float:
        """A timestep between two of the training's counts as the nearest."""
        return self.training_sigmas[round(timestep)]

    def check_timestep(self, timestep: float) -> None:
        _check_among(timestep, len(self.training_sigmas) - 1)

    def levels(self) -> Sequence[tuple[float, float]]:
        return [(float(timestep), sigma) for timestep, sigma in enumerate(self.training_sigmas)]

    def remainder(self, sigma: float) -> float:
        """The cumulated alpha (Ho et al., "DDPM", 2020, equation 4)."""
        return 1 / (1 + sigma * sigma)


class Epsilon(NoiseSchedule):
    """The network predicts the noise (Ho et al., "DDPM", 2020)."""

    kind = "epsilon"
    title = "a model that predicts `epsilon`"

    def denoised(self, prediction: Tensor, seen: Tensor, sigma: float) -> Tensor:
        return seen * self.input_scale(sigma) - sigma * prediction


class Velocity(NoiseSchedule):
    """The network predicts v = alpha' epsilon - sigma' x_0 (Salimans and Ho, 2022, appendix D)."""

    kind = "v_prediction"
    title = "a model that predicts `v_prediction`"

    def denoised(self, prediction: Tensor, seen: Tensor, sigma: float) -> Tensor:
        return (seen - sigma * prediction) / self.input_scale(sigma)


class Sample(NoiseSchedule):
    """The network predicts x_0."""

    kind = "sample"
    title = "a model that predicts `sample`"

    def denoised(self, prediction: Tensor, seen: Tensor, sigma: float) -> Tensor:
        return prediction


@dataclass(frozen=True)
class Flow(Parametrisation):
    """Flow matching: the network predicts the velocity epsilon - x_0, from picture to noise.

    Args:
        timesteps: of the training; a level is a share of them.
        shift: of the levels towards noise.
    """

    kind = "flow"
    title = "a flow-matching model"
    fixed_settings = frozenset({"prediction_type", "beta_schedule", ZERO_SNR, *BETAS})
    keeps_schedule = True

    timesteps: int
    shift: float

    @classmethod
    def of(cls, config: SchedulerConfig) -> Self | None:
        if not (_class_name(config).startswith("FlowMatch") or config.get("use_flow_sigmas")):
            return None
        shift = config.get("shift", config.get("flow_shift", 1.0))
        return cls(int(config.get("num_train_timesteps", 1000)), float(shift))

    @property
    def solver_options(self) -> Mapping[str, object]:
        """What makes a solver of diffusion equations one of a flow, and the shift under both of its names.

        A class of diffusers ignores the options that it does not have.
        """
        solving = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}
        return {**solving, "flow_shift": self.shift, "shift": self.shift}

    def alpha(self, sigma: float) -> float:
        return 1 - sigma

    def timestep(self, sigma: float) -> float:
        return sigma * self.timesteps

    def sigma(self, timestep: float) -> float:
        return timestep / self.timesteps

    def check_timestep(self, timestep: float) -> None:
        _check_among(timestep, self.timesteps)

    def levels(self) -> Sequence[tuple[float, float]]:
        return [(float(step), self.sigma(step)) for step in range(self.timesteps + 1)]

    def denoised(self, prediction: Tensor, seen: Tensor, sigma: float) -> Tensor:
        return seen - sigma * prediction


@dataclass(frozen=True)
class EDM(Parametrisation):
    """Preconditioning of EDM (Karras et al., 2022, equation 7 and table 1).

    Args:
        sigma_data: the deviation of the training's latents.
        sign: of the network's share in x_0: -1 where it predicts v.
    """

    kind = "edm"
    title = "a model of EDM"
    fixed_settings = frozenset({"beta_schedule", ZERO_SNR, *BETAS})

    sigma_data: float
    sign: int

    @classmethod
    def of(cls, config: SchedulerConfig) -> Self | None:
        # The first class is that of Stable Video Diffusion, whose timesteps are those of EDM.
        if config.get("timestep_type") != "continuous" and not _class_name(config).startswith("EDM"):
            return None
        # The paper's c_out is positive. Where diffusers' EDM schedulers read `v_prediction`, they turn its sign.
        sign = -1 if config.get("prediction_type") == "v_prediction" else 1
        return cls(float(config.get("sigma_data", 0.5)), sign)

    def input_scale(self, sigma: float) -> float:
        return math.hypot(sigma, self.sigma_data)

    def timestep(self, sigma: float) -> float:
        """c_noise of Karras et al., table 1: a function of sigma, not an index of a training step."""
        return math.log(sigma) / 4

    def sigma(self, timestep: float) -> float:
        return math.exp(4 * timestep)

    def denoised(self, prediction: Tensor, seen: Tensor, sigma: float) -> Tensor:
        scale = self.input_scale(sigma)
        return self.sigma_data**2 / scale * seen + self.sign * sigma * self.sigma_data / scale * prediction


@dataclass(frozen=True)
class Consistency(Parametrisation):
    """The network predicts x_0 but for the share that its boundary condition takes from x.

    Consistency Models (https://arxiv.org/abs/2303.01469), equation 5 and appendix C. They are sampled by their own
    scheduler alone.

    Args:
        sigma_data: the deviation of the training's pictures.
        sigma_min: the lowest level, at which x_0 is x.
    """

    kind = "consistency"
    title = "a consistency model"
    fixed_settings = frozenset({"prediction_type", "beta_schedule", ZERO_SNR, *BETAS})
    has_sigma_form = False

    sigma_data: float
    sigma_min: float

    @classmethod
    def of(cls, config: SchedulerConfig) -> Self | None:
        if _class_name(config) != "CMStochasticIterativeScheduler":
            return None
        return cls(float(config.get("sigma_data", 0.5)), float(config.get("sigma_min", 0.002)))

    def input_scale(self, sigma: float) -> float:
        return math.hypot(sigma, self.sigma_data)

    def timestep(self, sigma: float) -> float:
        return 250 * math.log(sigma)

    def sigma(self, timestep: float) -> float:
        return math.exp(timestep / 250)

    def denoised(self, prediction: Tensor, seen: Tensor, sigma: float) -> Tensor:
        scale, above = self.input_scale(sigma), sigma - self.sigma_min
        skip = self.sigma_data**2 / (above**2 + self.sigma_data**2)
        return skip * scale * seen + above * self.sigma_data / scale * prediction


PARAMETRISATIONS: tuple[type[Parametrisation], ...] = (Flow, EDM, Consistency, Epsilon, Velocity, Sample)
"""Every parametrisation. Those that the scheduler's class names stand before those that its prediction type names."""


def parametrisation_of(
    config: SchedulerConfig, known: Sequence[type[Parametrisation]] = PARAMETRISATIONS
) -> Parametrisation:
    """The parametrisation of a model that came with this scheduler configuration.

    Args:
        known: the parametrisations to choose from, the first that recognises the configuration.

    Raises:
        InputError: where the configuration names an unknown prediction.
    """
    for one in known:
        if found := one.of(config):
            return found
    name = str(config.get("prediction_type"))
    kinds = [one.kind for one in known if issubclass(one, NoiseSchedule)]
    hint = nearest(name, kinds) or f"set `prediction` of its loader to one of: {', '.join(kinds)}"
    raise InputError(f"the model's scheduler names an unknown prediction: `{name}`", hint, "unknown-prediction")


def training_options(
    prediction: str, noise: str, terminal_snr: str, betas: tuple[float | None, float | None] = (None, None)
) -> dict[str, object]:
    """What a recipe has of a model's training as options of a scheduler; empty texts and None say nothing.

    Args:
        terminal_snr: `zero` or `nonzero`.
        betas: the first and the last of the noise schedule.
    """
    given = {"prediction_type": prediction, "beta_schedule": noise}
    options: dict[str, object] = {name: option for name, option in given.items() if option}
    options |= {name: beta for name, beta in zip(BETAS, betas, strict=True) if beta is not None}
    return {**options, ZERO_SNR: terminal_snr == "zero"} if terminal_snr else options


def retrained(config: SchedulerConfig, training: Mapping[str, object]) -> dict[str, Any]:
    """A scheduler's configuration with other options of a model's training, whether the model has them or not."""
    # Without this, diffusers would take the betas that a configuration lists, whatever its schedule is called.
    listed = {"trained_betas": None} if training.keys() & {"beta_schedule", *BETAS} else {}
    needed = {NEEDS_ZERO_SNR: training[ZERO_SNR]} if ZERO_SNR in training else {}
    return {**config, **training, **listed, **needed}


def with_training(config: SchedulerConfig, training: Mapping[str, object]) -> dict[str, Any]:
    """A scheduler's configuration with what a user says of the model's training laid over it.

    Args:
        training: `prediction_type`, `beta_schedule` and `rescale_betas_zero_snr`, in diffusers' words.

    Raises:
        InputError: where a model of this kind has no such choice: a flow, a consistency model, EDM's noise levels.
    """
    changed = retrained(config, training)
    found = parametrisation_of(changed)
    if fixed := found.fixed_settings & training.keys():
        names = " and ".join(f"`{name}`" for name in sorted(fixed))
        raise InputError(
            f"{found.title} has no choice of {names}",
            "leave `prediction`, `noise`, `terminal_snr`, `beta_start` and `beta_end` out",
            "unsupported-by-model",
        )
    return changed


def _check_among(timestep: float, last: int) -> None:
    if not 0 <= timestep <= last:
        raise InputError(f"the training has no timestep {timestep:g}", f"give 0 to {last}", "out-of-range")


def _class_name(config: SchedulerConfig) -> str:
    return str(config.get("_class_name", ""))
