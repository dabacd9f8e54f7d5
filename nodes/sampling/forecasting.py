"""Predictions that are extrapolated from those of earlier steps (TaylorSeer, https://arxiv.org/abs/2503.06923).

The prediction of a step is expanded around the last computed one, by finite differences of the computed ones (equation
5). diffusers' lite mode does the same with what the last layer of a transformer gives; here it is any network's.
Imports torch: only the bodies of nodes import this module.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import factorial

from torch import Tensor

from weft.nodes.values import Forecast


@dataclass
class ForecastPredictions:
    """The predictions of one network call, step by step.

    Args:
        settings: which steps are computed.
    """

    settings: Forecast
    _step: int = -1
    _computed: int | None = None
    _terms: list[Tensor] = field(default_factory=list, repr=False)

    def due(self) -> bool:
        """Go on to the next step; whether its prediction is to be computed."""
        self._step += 1
        settings = self.settings
        since = self._step - settings.warm_up - 1
        return self._computed is None or self._step < settings.warm_up or since % settings.interval == 0

    def computed(self, prediction: Tensor) -> Tensor:
        """Remember the computed prediction of this step."""
        terms = [prediction]
        if self._computed is not None:
            apart = self._step - self._computed
            for before in self._terms[: self.settings.order]:
                terms.append((terms[-1] - before) / apart)
        self._terms, self._computed = terms, self._step
        return prediction

    def extrapolated(self) -> Tensor:
        """The prediction of this step, without the network."""
        assert self._computed is not None, "the first step is always computed"
        ahead = self._step - self._computed
        total = self._terms[0]
        for order, term in enumerate(self._terms[1:], 1):
            total = total + term * (ahead**order / factorial(order))
        return total
