"""Predictions of two guides, one above a noise level and one below it, of which one model is held at a time.

Imports torch: only the bodies of nodes import this module. Read next: `weft.nodes.sampling.guided_denoiser`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from torch import Tensor

from weft.engine import Context
from weft.nodes.models.denoiser import Denoiser
from weft.nodes.sampling.guide_patches import patches_of
from weft.nodes.sampling.guided_denoiser import guided, seen_pictures
from weft.nodes.sampling.sampling_run import Position, Predict, SamplingRun
from weft.nodes.values import Guide, Latent


class SwitchedPredictions:
    """Predictions of a guide at high noise levels, and of another one below: what one holds is released for the other.

    Args:
        enter: enters the model of a guide into a stack; gives its predictions.
        above: the guide of high levels.
        below: the other one.
        limit: the first timestep that is one of the high levels.
        held: has the model of the first guide already.
    """

    def __init__(
        self,
        enter: Callable[[ExitStack, Guide[Any]], Predict],
        above: Guide[Any],
        below: Guide[Any],
        limit: float,
        held: ExitStack,
    ) -> None:
        self.enter = enter
        self.guides = (above, below)
        self.limit = limit
        self.held = held
        self.below = False
        self.predict: Predict | None = None

    def __call__(self, latents: Tensor, timestep: Tensor, position: Position) -> Tensor:
        below = position.time < self.limit
        if below is not self.below:
            self.predict = None  # refers to the model, which is to be gone before the other one comes
            self.held.close()
            self.below = below
        if self.predict is None:
            self.predict = self.enter(self.held, self.guides[below])
        return self.predict(latents, timestep, position)


def predictions_of(
    guide: Guide[Any], latent: Latent[Any], run: SamplingRun, trained_steps: int, context: Context, held: ExitStack
) -> Predict:
    """The predictions of a guide for latents; of the guide that takes over from it at lower noise levels, if any.

    Args:
        trained_steps: timesteps of the training.
        held: has the model of the guide, and is given the rest; closed before the model of a guide that takes over is
            loaded.

    Raises:
        InputError: where a guide does not fit its model or the latents.
    """

    def entered(held: ExitStack, one: Guide[Any]) -> Predict:
        model = held.enter_context(context.weights(one.model, Denoiser, patches=patches_of(one)))
        return held.enter_context(guided(seen_pictures(one, model, latent, run), model, latent, context))

    if guide.later is None:
        return entered(held, guide)
    return SwitchedPredictions(entered, guide, guide.later, guide.boundary * trained_steps, held)
