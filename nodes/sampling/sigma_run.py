"""A run over a list of noise levels, by the samplers of `weft.nodes.sampling.sigma_samplers`.

Noisy latents are x_0 + sigma epsilon here under a noise schedule, whatever the sampler, and
(1 - sigma) x_0 + sigma epsilon over a flow; so one run can go on where another stopped.

Imports torch: only the bodies of nodes import this module. Read next: `weft.nodes.sampling.guided_denoiser`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import partial
from itertools import count

import torch
from torch import Tensor

from weft.engine import InputError
from weft.nodes.models.parametrisation import Parametrisation
from weft.nodes.models.transfers import sent
from weft.nodes.sampling.level_walk import LevelWalk
from weft.nodes.sampling.noise import brownian_noise, draw_noise
from weft.nodes.sampling.repainting import Repainting
from weft.nodes.sampling.samplers import SamplerName
from weft.nodes.sampling.sampling_run import Position, Predict, Record, StepCallback
from weft.nodes.sampling.sigma_samplers import SIGMA_SAMPLERS, SigmaSampler, ddim
from weft.nodes.sampling.sigma_walk import DrawNoise, State, walk
from weft.nodes.sampling.step_noise import StepNoise


@dataclass(frozen=True)
class SigmaDenoiser:
    """D(x, sigma): a model as samplers in sigma form call it.

    Args:
        predict: the model.
        total: predictions that the run takes.
        device: where the model is.
        nearest: whether timesteps are whole ones of the training.
        counter: counts the predictions.
    """

    predict: Predict
    parametrisation: Parametrisation
    total: int
    device: str
    nearest: bool = False
    counter: Iterator[int] = field(default_factory=count)

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        """x_0 as the next prediction has it, of the shape of the noisy latents `x` at the level `sigma`."""
        seen = x / self.parametrisation.input_scale(sigma)
        # Filled, not copied: a copy from the host makes a GPU wait at each prediction.
        place = self.parametrisation.timestep(sigma)
        place = float(round(place)) if self.nearest else place
        timestep = torch.full((), place, dtype=torch.float32, device=self.device)
        prediction = self.predict(seen, timestep, Position(next(self.counter), self.total, place))
        return self.parametrisation.denoised(prediction, seen, sigma)

    def alpha(self, sigma: float) -> float:
        return self.parametrisation.alpha(sigma)


class SigmaRun:
    """A run over a list of noise levels.

    Args:
        parametrisation: of the model.
        walk: the levels, and how the run goes by them.
        generators: one CPU generator an item; noise for the start and for the steps comes from them, in this order.
        rows: items that each generator draws for at once: the batch, where there is one generator for all of it.
        by_frame: whether noise of clips is drawn frame by frame.
        eta: DDIM's share of fresh noise, 0 to 1.

    Raises:
        InputError: where the model or the sampler cannot walk these levels.
    """

    skipped = 0
    whole = False

    def __init__(
        self,
        parametrisation: Parametrisation,
        sampler: SamplerName,
        walk: LevelWalk,
        *,
        generators: Sequence[torch.Generator],
        rows: int = 1,
        by_frame: bool = False,
        eta: float = 0.0,
        device: str = "cpu",
    ) -> None:
        levels = list(walk.levels)
        self.row = _row(sampler, levels, eta)
        self.step = partial(ddim, eta=eta) if sampler == "ddim" else self.row.step
        self.parametrisation = parametrisation
        self.levels = self.row.walked(levels)
        self.complete = levels[-1] == 0
        self.unit_start = walk.unit_start
        self.nearest = walk.nearest_timesteps and parametrisation.has_whole_timesteps
        self.generators = list(generators)
        self.rows = rows
        self.by_frame = by_frame
        self.device = device
        _check_levels(parametrisation, levels)

    def draw(self, shape: Sequence[int], rows: int | None = None) -> Tensor:
        """The next noise of the generators `[batch, *shape]`.

        Args:
            rows: that one generator for the whole batch draws; None is all of it.
        """
        return draw_noise(self.generators, shape, self.device, min(rows or self.rows, self.rows), self.by_frame)

    def from_noise(self, noise: Tensor) -> Tensor:
        """Latents of pure noise at the first level, of unit variance as the network sees them as a rule."""
        return noise * (self.levels[0] if self.unit_start is False else self._unit(self.levels[0]))

    def from_latents(self, latents: Tensor, noise: Tensor) -> Tensor:
        """`latents` under the noise of the first level."""
        if not (self.unit_start and self.parametrisation.has_whole_timesteps):
            return self.noised(latents, noise)
        return latents + noise * self._unit(self.levels[0])

    def _unit(self, sigma: float) -> float:
        """The deviation of latents that the network sees with unit variance."""
        return self.parametrisation.input_scale(sigma)

    def noised(self, latents: Tensor, noise: Tensor) -> Tensor:
        """`latents` under this noise, as strong as at the first level."""
        return self._at_level(self.levels[0], latents, noise)

    def _at_level(self, sigma: float, latents: Tensor, noise: Tensor) -> Tensor:
        return self.parametrisation.alpha(sigma) * latents + sigma * noise

    def sample(
        self,
        predict: Predict,
        latents: Tensor,
        on_step: StepCallback,
        *,
        keep_noise: bool = True,
        record: Record | None = None,
        repainting: Repainting | None = None,
    ) -> Tensor:
        """Walk latents over the levels.

        Args:
            keep_noise: whether the noise of the last level stays; else the last step's D takes it out.
            record: called after each step.
            repainting: what is kept of a picture after each step.
        """
        total = self.row.predictions(self.levels)
        denoise = SigmaDenoiser(predict, self.parametrisation, total, self.device, self.nearest)
        state, steps = State(latents, self.levels[0]), len(self.levels) - 1
        denoised = partial(_denoised, state)

        def repainted(number: int, state: State) -> State:
            if repainting is None:
                return state
            source = self._at_level(state.sigma, repainting.source, repainting.noise)
            return replace(state, x=repainting.blended(state.x, source, Fraction(number, steps)))

        states = walk(denoise, self.step, state, self.levels[1:], self._noise(latents.shape[1:]), repainted)
        for number, state in enumerate(states, 1):
            denoised = partial(_denoised, state)
            if repainting:
                denoised = partial(repainting.clean, denoised, Fraction(number, steps))
            on_step(number, steps, denoised)
            if record:
                record(state.x, denoised())
        return state.x if keep_noise else denoised()

    def _noise(self, shape: Sequence[int]) -> DrawNoise:
        """Noise for steps: drawn for each, or of one path of Brownian motion."""
        if not self.row.brownian:
            steps = self.row.predictions(self.levels)
            next_noise = StepNoise(self.generators, self.rows, shape, self.device, steps, self.by_frame)
            return lambda sigma, target: next_noise()
        least, most = min(level for level in self.levels if level > 0), max(self.levels)
        seeds = [one.initial_seed() for one in self.generators]
        noise = brownian_noise((self.rows, *shape), seeds, least, most)
        return lambda sigma, target: sent(noise(sigma, target).flatten(0, 1), self.device)


def _check_levels(parametrisation: Parametrisation, levels: Sequence[float]) -> None:
    """Raise `InputError` where levels do not belong to a model."""
    if not parametrisation.has_sigma_form:
        hint = "leave `sigmas` out; choose the sampler `model`"
        raise InputError(f"{parametrisation.title} cannot be sampled over sigmas", hint, "unsupported-by-model")
    if parametrisation.alpha(max(levels)) < 0:
        message = f"the levels of a flow lie in 0 to 1, and the sigmas reach {max(levels):.4g}"
        raise InputError(message, "make them of this model (MakeSigmas)", "wrong-levels")


def _row(sampler: SamplerName, levels: Sequence[float], eta: float) -> SigmaSampler:
    """A sampler that can walk these levels."""
    row = SIGMA_SAMPLERS.get(sampler)
    if row is None:
        raise InputError(
            f"the sampler `{sampler}` takes no list of sigmas",
            f"choose one of: {', '.join(SIGMA_SAMPLERS)}",
            "unsupported-by-sampler",
        )
    if levels[0] == 0:
        raise InputError(
            "a run over sigmas cannot begin at level 0", "begin above it, as FlipSigmas does", "wrong-levels"
        )
    # A step that draws noise lowers the old noise to make room for it; going up, there is no room.
    if levels[-1] > levels[0] and (row.draws or eta):
        able = ", ".join(name for name, other in SIGMA_SAMPLERS.items() if not other.draws)
        raise InputError(
            f"the sigmas rise, and the sampler `{sampler}` draws noise",
            f"choose one of: {able}; with `eta` 0",
            "unsupported-by-sampler",
        )
    return row


def _denoised(state: State) -> Tensor:
    """D of the last step; the latents themselves where there was none."""
    return state.past.denoised if state.past else state.x
