"""LoRAs that act in a part of the steps: the network is under those of a step while it predicts for that step.

The weights are changed where the LoRAs of a step are others than those of the step before, and never loaded again.
Imports torch: only the bodies of nodes import this module.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any

from weft.engine import Context, Patch
from weft.nodes.lora_values import AddedLoRAs
from weft.nodes.sampling.guide_patches import patches_of
from weft.nodes.sampling.sampling_run import Position
from weft.nodes.values import Guide


@dataclass
class TimedLoRAs:
    """The LoRAs of a guide's model, step by step, while the block runs."""

    guide: Guide[Any]
    context: Context
    _held: ExitStack = field(default_factory=ExitStack, repr=False)
    _changes: tuple[Patch[Any], ...] | None = None

    def enter(self, position: Position) -> None:
        """Put the network under the LoRAs of a step."""
        changes = self.guide.model.changes
        if not any(isinstance(one, AddedLoRAs) and not one.act_throughout for one in changes):
            return
        wanted = tuple(one.during(position.among) if isinstance(one, AddedLoRAs) else one for one in changes)
        if wanted != self._changes:
            self._held.close()
            model = replace(self.guide.model, changes=wanted)
            self._held.enter_context(self.context.weights(model, patches=patches_of(self.guide)))
            self._changes = wanted

    def __enter__(self) -> TimedLoRAs:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.close()
