"""How a call of a node ended."""

from __future__ import annotations

from typing import NamedTuple

from weft.engine.store import Computed

Outputs = dict[str, Computed] | BaseException
"""The outputs of a call by name, or what it raised."""


class Outcome(NamedTuple):
    """How a call ended.

    Args:
        seconds: that it took, its turn on the device not counted; its share of a batch.
        peak: the most bytes that tensors held on the device meanwhile; 0 where it is not counted.
        together: how many calls were made at once, of as many runs.
    """

    outputs: Outputs
    seconds: float
    peak: int = 0
    together: int = 1
