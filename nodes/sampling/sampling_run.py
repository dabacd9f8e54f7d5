"""What KSampler needs of a run, and what a run needs of a model: one walk of latents from noise towards a picture.

There are two runs: `weft.nodes.sampling.scheduler_run` puts a diffusers scheduler behind a loop, and
`weft.nodes.sampling.sigma_run` walks a list of noise levels by this library's own samplers. Nothing here imports torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    from torch import Tensor

    from weft.nodes.sampling.repainting import Repainting


@dataclass(frozen=True)
class Position:
    """The place of a prediction in a run: the `index`-th of `count`, counted from 0.

    Args:
        time: its timestep, a number of the host.
    """

    index: int
    count: int
    time: float = 0.0

    def within(self, start: float, end: float) -> bool:
        """Whether this prediction lies wholly between two fractions of the run, as diffusers' ControlNets count."""
        return self.index / self.count >= start and (self.index + 1) / self.count <= end

    def among(self, start: float, end: float) -> bool:
        """Whether this is one of the predictions between two fractions, so counted that ranges may follow each other.

        As diffusers' guiders count: those before `int(start * count)` are before, those from `int(end * count)` after.
        """
        return int(start * self.count) <= self.index < int(end * self.count)


Predict: TypeAlias = "Callable[[Tensor, Tensor, Position], Tensor]"
"""A model's prediction for latents scaled for the network, `[batch, channel, ..., height, width]`, at a timestep."""

GeneratorScope = Literal["item", "batch"]
"""What one generator draws the noise of."""

StepCallback: TypeAlias = "Callable[[int, int, Callable[[], Tensor]], None]"
"""Called with `(step, steps, denoised)` after each prediction; `denoised()` gives the latents that it predicts.

An exception that it raises ends the run.
"""


Record: TypeAlias = "Callable[[Tensor, Tensor], None]"
"""Called with `(latents, denoised)` after each step: the latents as the next step gets them, and what they lead to."""


class SamplingRun(Protocol):
    """One walk over timesteps or noise levels; made for one call of a sampler, never used again."""

    device: str

    @property
    def skipped(self) -> int:
        """Predictions at the beginning of the schedule that the run leaves out; it then needs given latents."""

    @property
    def whole(self) -> bool:
        """Whether the run begins with the schedule of the model, where nothing is seen of what it begins from."""

    @property
    def complete(self) -> bool:
        """Whether no noise is left at the end of the run."""

    def draw(self, shape: Sequence[int], rows: int | None = None) -> Tensor:
        """The next noise of the run's generators, of unit variance `[batch, *shape]`.

        Args:
            rows: that one generator for the whole batch draws; None is all of it.
        """

    def from_noise(self, noise: Tensor) -> Tensor:
        """Latents of pure noise for the beginning of the run."""

    def from_latents(self, latents: Tensor, noise: Tensor) -> Tensor:
        """`latents` under `noise` at the level of the run's beginning."""

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
        """Walk latents through the run.

        Args:
            keep_noise: whether the noise that is left at the end stays; else the last prediction takes it out.
            record: called after each step.
            repainting: what is kept of a picture in each step; None keeps nothing.
        """
