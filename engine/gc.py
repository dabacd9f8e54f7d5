"""Pauses garbage collection, or makes it rarer, while many long-lived values are made.

Python's collector traverses all live objects each time their number has grown by some amount. Reading, checking and
planning make tens of thousands of values that all stay alive, so these traversals free nothing, and their cost grows
with the graph. The collector is global to the process, so both switches count their holders: the first one switches,
the last one restores.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SELDOM = 1_000
"""The third gc threshold during a run: generation-1 collections for each full collection."""


class _Switch:
    """A setting of the process that is switched while at least one thread holds it.

    Args:
        switch: switches it, and returns the function that restores it.
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
    """Exclude existing objects from garbage collection while the block runs; new ones are collected as usual.

    A plan stays alive during a run. Traversing it at each full collection would make a node of a long graph cost more
    than one of a short graph. Full collections are also made rarer: otherwise one would run each time the number of
    results has grown by a quarter. Young generations are collected as often as before.
    """
    with _SETTLED:
        yield
