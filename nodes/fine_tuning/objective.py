"""What a denoiser learns: to predict what a paper's loss compares its prediction with, under noise that is drawn.

The network sees alpha x_0 + sigma epsilon at a timestep and learns epsilon (DDPM, https://arxiv.org/abs/2006.11239,
equation 14), v (https://arxiv.org/abs/2202.00512, appendix D), x_0, or the velocity epsilon - x_0 of a flow
(https://arxiv.org/abs/2403.03206, equation 14), as its parametrisation says. Imports torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from diffusers import training_utils
from torch import Tensor

from weft.engine import InputError
from weft.nodes.fine_tuning.training_settings import TimestepDensity
from weft.nodes.models.parametrisation import (
    Epsilon,
    Flow,
    NoiseSchedule,
    Parametrisation,
    Sample,
    SchedulerConfig,
    parametrisation_of,
)

LOGIT_MEAN, LOGIT_DEVIATION, MODE_SCALE = 0.0, 1.0, 1.29
"""What SD 3 was trained with (https://arxiv.org/abs/2403.03206, section 3.1), as diffusers' scripts have it."""


@dataclass(frozen=True)
class Noised:
    """A batch under noise.

    Args:
        seen: what the network is given, `[item, channel, height, width]`.
        timesteps: of each item, as its scheduler counts them.
        target: what it is to predict, of the same shape.
        weights: of the items in the loss.
    """

    seen: Tensor
    timesteps: Tensor
    target: Tensor
    weights: Tensor

    def loss(self, prediction: Tensor) -> Tensor:
        """The weighted mean square error, in float32."""
        errors = (prediction.float() - self.target).square().flatten(1).mean(1)
        return (errors * self.weights).mean()

    def on(self, device: str) -> Noised:
        """The same on a device."""
        return Noised(*(one.to(device) for one in (self.seen, self.timesteps, self.target, self.weights)))


@dataclass(frozen=True)
class Objective:
    """How latents are noised, and what is learned of them.

    Args:
        density: of the timesteps: `uniform`, or for `auto` of a flow `logit_normal`.
        shift: of a flow's levels towards noise; None is the model's own.
        min_snr: the gamma of min-SNR (https://arxiv.org/abs/2303.09556, section 3.4); 0 weighs all timesteps alike.
        debiased: whether errors of the noise weigh SNR^-1/2 (https://arxiv.org/abs/2310.08442, section 3.3).
        noise_offset: of the noise by a number for each channel, which lets brightness be learned; 0 adds none.
    """

    parametrisation: Parametrisation
    density: TimestepDensity = "auto"
    shift: float | None = None
    min_snr: float = 0.0
    debiased: bool = False
    noise_offset: float = 0.0

    @classmethod
    def of(cls, config: SchedulerConfig, **options: Any) -> Objective:
        """The objective of a model whose scheduler has a configuration.

        Raises:
            InputError: where it cannot be trained so.
        """
        parametrisation = parametrisation_of(config)
        if not isinstance(parametrisation, (NoiseSchedule, Flow)):
            raise InputError(
                f"{parametrisation.title} cannot be trained here",
                "use one that predicts noise, v, the sample, or the velocity of a flow",
                "unsupported-by-model",
            )
        flow = isinstance(parametrisation, Flow)
        if flow and (options.get("min_snr") or options.get("debiased")):
            message = "`min_snr` and `debiased` weigh the timesteps of a noise schedule, and a flow has none"
            raise InputError(message, "leave both out, and choose `timesteps`", "unsupported-by-model")
        if options.get("min_snr") and options.get("debiased"):
            message = "`min_snr` and `debiased` weigh timesteps each in its own way"
            raise InputError(message, "leave `min_snr` at 0, or `debiased` out", "conflicting-inputs")
        if not flow and options.get("shift") is not None:
            message = f"{parametrisation.title} has no levels that could be shifted"
            raise InputError(message, "leave `flow_shift` out", "unsupported-by-model")
        if config.get("use_dynamic_shifting") and options.get("shift") is None:
            options["shift"] = 1.0  # a shift by the size of the picture is the sampler's; the training had its own
        return cls(parametrisation, **options)

    def noised(self, clean: Tensor, generator: torch.Generator) -> Noised:
        """Latents under noise and at timesteps that a generator draws, in this order: noise, its offset, timesteps."""
        noise = torch.randn(clean.shape, generator=generator, dtype=torch.float32)
        if self.noise_offset:
            noise += self.noise_offset * torch.randn(*clean.shape[:2], 1, 1, generator=generator, dtype=torch.float32)
        timesteps = self._timesteps(len(clean), generator)
        pairs = zip(clean, noise, timesteps.tolist(), strict=True)
        seen = torch.stack([self.parametrisation.forward(one, drawn, at) for one, drawn, at in pairs])
        return Noised(seen, timesteps, self._target(clean, noise, timesteps), self._weights(timesteps))

    def _timesteps(self, count: int, generator: torch.Generator) -> Tensor:
        flow = isinstance(self.parametrisation, Flow)
        density = ("logit_normal" if flow else "uniform") if self.density == "auto" else self.density
        shares: Tensor = training_utils.compute_density_for_timestep_sampling(
            density, count, LOGIT_MEAN, LOGIT_DEVIATION, MODE_SCALE, generator=generator
        )
        if isinstance(self.parametrisation, Flow):
            shift = self.shift or self.parametrisation.shift
            return shares * (self.parametrisation.timesteps * shift) / (1 + (shift - 1) * shares)
        assert isinstance(self.parametrisation, NoiseSchedule)
        last = len(self.parametrisation.training_sigmas) - 1
        return (shares * (last + 1)).long().clamp(0, last)

    def _sigmas(self, timesteps: Tensor) -> Tensor:
        """The levels of timesteps `[item, 1, 1, 1]`."""
        levels = [self.parametrisation.sigma(timestep) for timestep in timesteps.tolist()]
        return torch.tensor(levels, dtype=torch.float32)[:, None, None, None]

    def _target(self, clean: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        match self.parametrisation:
            case Flow():
                return noise - clean
            case Epsilon():
                return noise
            case Sample():
                return clean
        sigmas = self._sigmas(timesteps)
        return (noise - sigmas * clean) / torch.hypot(torch.ones_like(sigmas), sigmas)

    def _weights(self, timesteps: Tensor) -> Tensor:
        if not self.min_snr and not self.debiased:
            return torch.ones(len(timesteps), dtype=torch.float32)
        ratios = self._sigmas(timesteps).flatten() ** -2
        of_sample = ratios.sqrt() if self.debiased else ratios.clamp(max=self.min_snr)
        match self.parametrisation:
            case Epsilon():
                return of_sample / ratios
            case Sample():
                return of_sample
        return of_sample / (ratios + 1)
