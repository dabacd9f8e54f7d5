"""The noise that the steps of a run draw: for all of them at once on a device, so that no step waits for its own.

Imports torch: only the bodies of nodes import this module.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from types import FunctionType, MethodType
from typing import Any

import torch
from torch import Tensor

from weft.nodes.models.transfers import sent
from weft.nodes.sampling.noise import draw_noise

AHEAD = 64 * 2**20
"""The most bytes of noise that are drawn before they are needed: clips have few steps' noise in them."""


class StepNoise:
    """The next noise at each call, `[batch, *shape]`, in the order in which steps drawing their own would have it.

    Nothing else may draw from the generators afterwards, since more may have been drawn than the steps take.

    Args:
        generators: one an item, or one for all.
        rows: items that each draws for.
        shape: of one item.
        most: the number of times that it may be called.
        by_frame: whether noise of clips is drawn frame by frame.
    """

    def __init__(
        self,
        generators: Sequence[torch.Generator],
        rows: int,
        shape: Sequence[int],
        device: str,
        most: int,
        by_frame: bool = False,
    ) -> None:
        self._generators = generators
        self._rows = rows
        self._shape = tuple(shape)
        self._device = device
        self._left = most
        self._by_frame = by_frame
        self._ahead: deque[Tensor] = deque()

    def __call__(self) -> Tensor:
        if not self._ahead:
            self._ahead.extend(self._drawn())
        return self._ahead.popleft()

    def _drawn(self) -> Sequence[Tensor]:
        """The noise of the next steps, of as many as there is room for; of one where it is used on the host."""
        first = self._one()
        if self._device == "cpu":
            return [first]
        count = max(1, min(self._left, AHEAD // max(1, first.nbytes)))
        self._left -= count
        noise = [first, *(self._one() for _ in range(count - 1))]
        return sent(torch.stack(noise), self._device).unbind()

    def _one(self) -> Tensor:
        return draw_noise(self._generators, self._shape, "cpu", self._rows, self._by_frame)


def taking_noise(step: Callable[..., Any], noise: Callable[[], Tensor]) -> Callable[..., Any]:
    """The step of a diffusers scheduler that takes its noise from elsewhere.

    Steps draw by `randn_tensor`, which copies what it draws to the device and waits. The function of the step is made a
    second time here, with another one under that name. A step that does not know the name is the same as before.

    Args:
        step: a method.
    """
    function, scheduler = getattr(step, "__func__", None), getattr(step, "__self__", None)
    if not isinstance(function, FunctionType) or "randn_tensor" not in function.__code__.co_names:
        return step
    names = {**function.__globals__, "randn_tensor": lambda *args, **kwargs: noise()}
    second = FunctionType(function.__code__, names, function.__name__, function.__defaults__, function.__closure__)
    second.__kwdefaults__ = function.__kwdefaults__
    return MethodType(second, scheduler)
