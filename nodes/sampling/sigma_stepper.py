"""A run over sigmas: what a model predicts, as samplers in sigma form ask it, and the noise that they draw.

Latents with noise are x_0 + sigma epsilon here under a noise schedule, whatever the sampler, and
(1 - sigma) x_0 + sigma epsilon over a flow; so one run can go on where another stopped.

Imports torch: only the bodies of nodes import this module. Read next: `weft.nodes.sampling.guided_denoiser`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any

import torch
from torch import Tensor

from weft.engine import InputError
from weft.nodes.sampling import stepper
from weft.nodes.sampling.samplers import OWN_ONLY, Prediction, SamplerName
from weft.nodes.sampling.scheduling import EDM, is_flow
from weft.nodes.sampling.sigma_samplers import SIGMA_SAMPLERS, Noise, SigmaSampler, State, ddim, walk
from weft.nodes.sampling.stepper import Position, Progress, make_scheduler


@dataclass(frozen=True)
class Asked:
    """A model's predictions, counted.

    Args:
        predict: the model.
        total: predictions that the run takes.
        device: where the model is.
    """

    predict: stepper.Denoise
    total: int
    device: str
    asked: Iterator[int] = field(default_factory=count)

    def __call__(self, seen: Tensor, timestep: float) -> Tensor:
        """The next prediction, for latents as the model wants them."""
        moment = torch.tensor(timestep, dtype=torch.float32, device=self.device)
        return self.predict(seen, moment, Position(next(self.asked), self.total))


class NoiseDenoiser:
    """A model under a noise schedule, which sees x / sqrt(1 + sigma^2).

    Args:
        predicted: what the model predicts.
        levels: the sigma of each timestep of the training `[timestep]`, rising.
    """

    def __init__(self, asked: Asked, predicted: Prediction, levels: Tensor) -> None:
        self.asked = asked
        self.predicted = predicted
        self.logarithms = levels.double().log()

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        scale = self.scale(sigma)
        prediction = self.asked(x / scale, self.timestep(sigma))
        if self.predicted == "sample":
            return prediction
        return x - sigma * prediction if self.predicted == "epsilon" else (x / scale - sigma * prediction) / scale

    def alpha(self, sigma: float) -> float:
        return 1.0

    def scale(self, sigma: float) -> float:
        """What latents at a level are divided by for the model."""
        return math.hypot(1, sigma)

    def timestep(self, sigma: float) -> float:
        """The timestep of a level, between two of the training by logarithms; beyond them, the last."""
        logarithm = torch.tensor(sigma, dtype=torch.float64).log().clamp(self.logarithms[0], self.logarithms[-1])
        above = int(torch.searchsorted(self.logarithms, logarithm).clamp(1, len(self.logarithms) - 1))
        low, high = self.logarithms[above - 1], self.logarithms[above]
        return above - 1 + float((logarithm - low) / (high - low))


class EDMDenoiser:
    """A model with EDM's preconditioning, which sees x / sqrt(sigma^2 + sigma_data^2) (Karras et al., 2022, eq. 7).

    Args:
        predicted: what the model predicts; a velocity has the other sign.
        data: the deviation of its training's latents, sigma_data.
    """

    def __init__(self, asked: Asked, predicted: Prediction, data: float) -> None:
        self.asked = asked
        self.sign = -1 if predicted == "v_prediction" else 1
        self.data = data

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        scale = self.scale(sigma)
        prediction = self.asked(x / scale, self.timestep(sigma))
        return (self.data / scale) ** 2 * x + self.sign * sigma * self.data / scale * prediction

    def alpha(self, sigma: float) -> float:
        return 1.0

    def scale(self, sigma: float) -> float:
        """What latents at a level are divided by for the model."""
        return math.hypot(sigma, self.data)

    def timestep(self, sigma: float) -> float:
        """What the model is told of a level."""
        return math.log(sigma) / 4


class FlowDenoiser:
    """A flow-matching model, which predicts the velocity from picture to noise.

    Args:
        timesteps: of the training; a level is a share of them.
    """

    def __init__(self, asked: Asked, timesteps: int) -> None:
        self.asked = asked
        self.timesteps = timesteps

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        return x - sigma * self.asked(x, self.timestep(sigma))

    def alpha(self, sigma: float) -> float:
        return 1 - sigma

    def scale(self, sigma: float) -> float:
        """What latents at a level are divided by for the model: nothing."""
        return 1.0

    def timestep(self, sigma: float) -> float:
        """The timestep of a level."""
        return sigma * self.timesteps


def denoiser_of(config: Mapping[str, Any], asked: Asked) -> NoiseDenoiser | EDMDenoiser | FlowDenoiser:
    """A model with this scheduler configuration, as samplers in sigma form ask it.

    Raises:
        InputError: where it is a consistency model.
    """
    own = str(config.get("_class_name", ""))
    if own in OWN_ONLY:
        raise InputError(
            "a consistency model has no form over sigmas", "leave `sigmas` out; choose the sampler `model`"
        )
    if is_flow(own, config):
        return FlowDenoiser(asked, int(config.get("num_train_timesteps", 1000)))
    predicted: Prediction = config.get("prediction_type", "epsilon")
    if own.startswith(EDM):
        return EDMDenoiser(asked, predicted, float(config.get("sigma_data", 0.5)))
    cumulated = make_scheduler(config, "euler", "model").alphas_cumprod
    return NoiseDenoiser(asked, predicted, ((1 - cumulated) / cumulated).sqrt())


class SigmaStepper:
    """A run over a list of sigmas.

    Args:
        config: of the scheduler that the model came with.
        predict: the model.
        levels: sigmas `[steps + 1]`.
        generators: one CPU generator an item; noise for the start and for the steps comes from them, in this order.
        eta: DDIM's share of fresh noise, 0 to 1.
    """

    skipped = 0

    def __init__(
        self,
        config: Mapping[str, Any],
        predict: stepper.Denoise,
        sampler: SamplerName,
        levels: Sequence[float],
        *,
        generators: Sequence[torch.Generator],
        eta: float = 0.0,
        device: str = "cpu",
    ) -> None:
        self.row = row = _row(sampler, levels, eta)
        self.step = partial(ddim, eta=eta) if sampler == "ddim" else row.step
        self.denoise = denoiser_of(config, Asked(predict, row.predictions(levels), device))
        self.levels = list(levels)
        if self.denoise.alpha(max(levels)) < 0:
            message = f"the levels of a flow lie in 0 to 1, and the sigmas reach {max(levels):.4g}"
            raise InputError(message, "make them of this model (MakeSigmas)")
        self.generators = list(generators)
        self.device = device

    def from_noise(self, shape: Sequence[int]) -> Tensor:
        """Latents of pure noise `[batch, *shape]`, of unit variance as the model sees them at the first level."""
        return self._drawn(shape) * self.denoise.scale(self.levels[0])

    def from_latents(self, latents: Tensor) -> Tensor:
        """`latents` under the noise of the first level."""
        first = self.levels[0]
        return self.denoise.alpha(first) * latents + first * self._drawn(latents.shape[1:])

    def sample(self, latents: Tensor, progress: Progress, *, keep_noise: bool = True) -> Tensor:
        """Walk latents over the levels.

        Args:
            progress: told how far the run is; an exception that it raises ends the run.
            keep_noise: whether the noise of the last level stays; else the last step's D takes it out.
        """
        state = State(latents, self.levels[0])
        states = walk(self.denoise, self.step, state, self.levels[1:], self._noise(latents))
        for number, state in enumerate(states, 1):
            progress(number, len(self.levels) - 1, partial(_denoised, state))
        return state.x if keep_noise else _denoised(state)

    def _noise(self, latents: Tensor) -> Noise:
        """Noise for steps: drawn for each, or of one path of Brownian motion."""
        if not self.row.brownian:
            return lambda sigma, target: self._drawn(latents.shape[1:])
        least, most = min(level for level in self.levels if level > 0), max(self.levels)
        noise = brownian_noise(latents.shape[1:], [one.initial_seed() for one in self.generators], least, most)
        return lambda sigma, target: noise(sigma, target).to(self.device)

    def _drawn(self, shape: Sequence[int]) -> Tensor:
        items = [torch.randn((1, *shape), generator=generator) for generator in self.generators]
        return torch.cat(items).to(self.device)


def _row(sampler: SamplerName, levels: Sequence[float], eta: float) -> SigmaSampler:
    """A sampler that can walk these levels."""
    row = SIGMA_SAMPLERS.get(sampler)
    if row is None:
        raise InputError(f"the sampler `{sampler}` does not walk sigmas", f"choose one of: {', '.join(SIGMA_SAMPLERS)}")
    if levels[0] == 0:
        raise InputError("a run over sigmas cannot begin at level 0", "begin above it, as FlipSigmas does")
    if levels[-1] > levels[0] and (row.draws or eta):
        able = ", ".join(name for name, other in SIGMA_SAMPLERS.items() if not other.draws)
        raise InputError(
            f"the sigmas rise, and the sampler `{sampler}` draws noise", f"choose one of: {able}; with `eta` 0"
        )
    return row


def _denoised(state: State) -> Tensor:
    """What the last step found in its latents; the latents themselves where there was none."""
    return state.past.denoised if state.past else state.x


ROUNDING = 1e-6
"""What torchsde rounds levels to."""


def brownian_noise(shape: Sequence[int], seeds: Sequence[int], least: float, most: float) -> Callable[..., Tensor]:
    """Increments of Brownian motion over sigma, of unit variance: one path an item, the same whatever the steps.

    Args:
        shape: of an item.
        seeds: one an item.
        least: the lowest level that is asked for, above 0.
        most: the highest.

    Raises:
        InputError: where torchsde is not installed.
    """
    try:
        from torchsde import BrownianInterval
    except ModuleNotFoundError as missing:
        raise InputError("the sampler needs the package torchsde", "pip install 'weft-engine[sde]'") from missing

    def path(seed: int) -> Any:
        return BrownianInterval(
            t0=least - ROUNDING,
            t1=most + ROUNDING,
            size=tuple(shape),
            dtype=torch.float32,
            entropy=seed,
            tol=ROUNDING,
            pool_size=24,
            halfway_tree=True,
        )

    paths = [path(seed) for seed in seeds]

    def increment(sigma: float, target: float) -> Tensor:
        whole = torch.stack([one(min(sigma, target), max(sigma, target)) for one in paths])
        return math.copysign(1, target - sigma) * whole / math.sqrt(abs(target - sigma))

    return increment
