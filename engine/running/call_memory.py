"""What calls take of their device's memory, noted for calls like them, where torch counts it.

What a plan counts without computing (`weft.engine.running.dry_run`) is not noted again.
"""

from __future__ import annotations

from typing import Any

from weft.engine.planning.planner import Step
from weft.engine.running.run_devices import RunDevice
from weft.engine.store import HeldWeights, MemoryNote, Store
from weft.engine.weights.recipes import Recipe
from weft.engine.weights.relief import Relief
from weft.engine.weights.savings import Savings


class CallMemory:
    """What one call takes of its device, from now on.

    Attributes:
        savings: what it is asked to save, and could.
    """

    def __init__(self, device: RunDevice) -> None:
        device.begin_peak()
        self.savings = Savings()
        self._less = False  # something was done so that it takes less: calls like it may take more
        self._evicted = 0
        self._device = device
        self._held = device.peak()
        self._before = {one.what: one.size for one in device.holdings()} if self._held else {}
        self._used: set[str] = set()

    def uses(self, recipe: Recipe[Any]) -> None:
        """Note that the call uses weights."""
        self._used.add(repr(recipe.base))

    def relieved(self, relief: Relief) -> None:
        """Note what was done for memory."""
        if relief.action == "evicted":
            self._evicted += relief.freed
        else:
            self._less = True

    def remember(self, step: Step, store: Store) -> None:
        """Keep what the call, which has ended well, has taken, where that is news."""
        peak = self._device.peak()
        key = None if step.memory else step.memory_key
        if peak <= self._held or self._less or key is None or not store.keeps:
            return  # a peak that is not above what was held at its beginning may have come before an eviction
        weights = [HeldWeights(one.what, one.size) for one in self._device.holdings() if one.what in self._used]
        others = self._held - sum(self._before.get(one, 0) for one in self._used) - self._evicted
        note = MemoryNote(peak - max(others, 0), tuple(weights), tuple(sorted(self.savings.possible)))
        store.remember(key, note)
