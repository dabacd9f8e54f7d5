"""Garbage collection paused while much is made and nothing let go.

Python's collector walks what is alive each time that so much more of it was made. Reading, checking and planning make
values by the ten thousand, all of which stay, so its walks find nothing and grow with the graph.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


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
    a node of a long graph cost more than one of a short graph.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
