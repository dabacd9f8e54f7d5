"""Garbage collection paused while much is made and nothing let go.

Python's collector walks what is alive each time that so much more of it was made. Reading, checking and planning make
values by the ten thousand, all of which stay, so its walks find nothing and grow with the graph.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

SELDOM = 1_000
"""How many collections of the young there are for a full one while a run goes on."""


@contextmanager
def paused_collection() -> Iterator[None]:
    """No garbage collection while the block runs, or the function that this decorates."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@contextmanager
def settled_heap() -> Iterator[None]:
    """Leave what exists already out of garbage collections while the block runs; what it makes is collected as ever.

    A run makes values beside a plan that only stands there: walking the plan anew at each full collection would make
    a node of a long graph cost more than one of a short graph. Full collections come seldom, since with nothing else to
    go by the collector would make one each time that a quarter more results are there; what dies young is collected as
    often as ever.
    """
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(*before[:2], max(before[2], SELDOM))
    try:
        yield
    finally:
        if before[2] < SELDOM:
            gc.set_threshold(*before)
        gc.unfreeze()
