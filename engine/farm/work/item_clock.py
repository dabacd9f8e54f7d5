"""The time limit of an attempt at an item.

The run of the item is cancelled when the limit is over. Python cannot stop a node that does not look whether it is to
end; a process can be ended. So a while later something is called that may end it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType

GRACE = 5.0
"""Seconds after the limit, at most, in which the run may still end by itself."""


def patience(limit: float) -> float:
    """Seconds that the run of an item has to end, from its begin on."""
    return limit + min(limit, GRACE)


@dataclass
class ItemClock:
    """Counts the seconds of an attempt while a block runs.

    Args:
        limit: seconds.
        overdue: called in a thread of its own where the block has not ended in time.
    """

    limit: float
    overdue: Callable[[], object]
    _began: float = field(default_factory=time.monotonic)

    def __enter__(self) -> ItemClock:
        self._timer = threading.Timer(patience(self.limit), self.overdue)
        self._timer.daemon = True
        self._timer.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None) -> None:
        self._timer.cancel()

    def is_over(self) -> bool:
        """Whether the limit is over."""
        return time.monotonic() - self._began >= self.limit
