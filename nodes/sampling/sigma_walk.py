"""What samplers in sigma form are made of: a denoiser, states, steps, and the walk over noise levels.

Nothing here imports torch, so that checks can read the table of samplers. Read next:
`weft.nodes.sampling.sigma_samplers`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor


class Denoise(Protocol):
    """A denoiser in sigma form, D."""

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        """The estimate of x_0, of the shape of the noisy latents `x` at the level `sigma`."""

    def alpha(self, sigma: float) -> float:
        """What the picture is multiplied by at a level."""


DrawNoise = Callable[[float, float], "Tensor"]
"""Noise of unit variance, of the shape of the latents, for the step from one level to another."""


@dataclass(frozen=True)
class Past:
    """D of the step before, and the level that it started from.

    Args:
        slope: there, where a sampler needs it.
        before: the step before that one, where a sampler needs it.
        x: the latents that the step went from, where a sampler needs them.
    """

    denoised: Tensor
    sigma: float
    slope: Tensor | None = None
    before: Past | None = None
    x: Tensor | None = None

    def steps(self) -> Iterator[Past]:
        """This step and those before it, as far as they are kept."""
        past: Past | None = self
        while past is not None:
            yield past
            past = past.before

    def cut(self, count: int) -> Past | None:
        """The last steps, so many at most."""
        if count == 0:
            return None
        return replace(self, before=self.before.cut(count - 1) if self.before else None)


@dataclass(frozen=True)
class State:
    """Latents at a level, and the step before, if there was one.

    Args:
        done: steps of the walk before this one.
        left: steps of the walk from here on.
    """

    x: Tensor
    sigma: float
    past: Past | None = None
    done: int = 0
    left: int = 1


Step = Callable[[Denoise, State, float, DrawNoise], State]
"""A sampler: from a state to the state at another level."""


def walk(
    denoise: Denoise,
    step: Step,
    state: State,
    levels: Iterable[float],
    noise: DrawNoise,
    after: Callable[[int, State], State] = lambda number, state: state,
) -> Iterator[State]:
    """The state after each step over the levels.

    Args:
        after: changes the state after each step, whose number counts from 1.
    """
    targets = list(levels)
    for done, target in enumerate(targets):
        here = replace(state, done=done, left=len(targets) - done)
        state = after(done + 1, step(denoise, here, target, noise))
        yield state
