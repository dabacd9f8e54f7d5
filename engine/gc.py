"""Garbage collection paused or made rarer while many values are made that all stay.

Python's collector walks what is alive each time that so much more of it was made. Reading, checking and planning make
values by the ten thousand, all of which stay, so its walks find nothing and grow with the graph. The collector belongs
to the process, so both switches count who holds them: the first one in switches, the last one out restores.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SELDOM = 1_000
"""The third gc threshold during a run: generation-1 collections for each full collection."""


class _Switch:
    """Something of the process that is switched while at least one thread wants it so.

    Args:
        switch: switches it; gives what restores it.
    """

    def __init__(self, switch: Callable[[], Callable[[], None]]) -> None:
        self._switch = switch
        self._restore: Callable[[], None] | None = None
        self._holders = 0
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        with self._lock:
            if not self._holders:
                self._restore = self._switch()
            self._holders += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._holders -= 1
            if not self._holders and self._restore:
                self._restore()


def _pause() -> Callable[[], None]:
    was_enabled = gc.isenabled()
    gc.disable()
    return gc.enable if was_enabled else lambda: None


def _settle() -> Callable[[], None]:
    before = gc.get_threshold()
    # What exists already moves to the permanent generation, which no collection walks.
    gc.freeze()
    gc.set_threshold(*before[:2], max(before[2], SELDOM))

    def restore() -> None:
        if before[2] < SELDOM:
            gc.set_threshold(*before)
        gc.unfreeze()

    return restore


_PAUSED = _Switch(_pause)
_SETTLED = _Switch(_settle)


@contextmanager
def paused_collection() -> Iterator[None]:
    """No garbage collection while the block runs, or the function that this decorates."""
    with _PAUSED:
        yield


@contextmanager
def settled_heap() -> Iterator[None]:
    """Leave what exists already out of garbage collections while the block runs; what it makes is collected as ever.

    A run makes values while a plan stays as it is: walking the plan at each full collection would make a node of a long
    graph cost more than one of a short graph. Full collections come seldom, since the collector would otherwise make
    one each time that a quarter more results are there; what dies young is collected as often as ever.
    """
    with _SETTLED:
        yield
