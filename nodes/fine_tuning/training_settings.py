"""How weights are trained, whatever they are: steps, rates, optimiser, batches. Imports no torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Optimizer = Literal["adamw", "adamw_8bit"]

RateSchedule = Literal["constant", "linear", "cosine"]

TimestepDensity = Literal["auto", "uniform", "logit_normal", "mode"]


@dataclass(frozen=True)
class TrainingSettings:
    """How weights are trained.

    Args:
        steps: of the optimiser.
        batch_size: pictures in each call of the network.
        accumulation: batches whose gradients make a step.
        rate: the learning rate.
        schedule: of the rate, after the warm-up.
        warmup: steps over which the rate rises from 0.
        weight_decay: of AdamW.
        clip: the greatest norm of all gradients together.
        seed: of everything that is drawn.
    """

    steps: int
    batch_size: int
    accumulation: int
    rate: float
    schedule: RateSchedule
    warmup: int
    optimizer: Optimizer
    weight_decay: float
    clip: float
    seed: int

    def plain(self) -> dict[str, Any]:
        """As one JSON object, for the file of what was trained."""
        return asdict(self)
