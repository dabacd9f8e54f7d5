"""Node types whose calls are made together; each gives how many were."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from weft.engine import INJECTED, Context, InputError, batched, node
from weft.engine.events import BatchPreview

FAULTY = 13
"""The number at which a call fails."""


@node(lane="gpu")
def Doubled(number: int, *, size: int = 1, steps: int = 1, room: int = 100, context: Context = INJECTED) -> list[int]:
    """Twice a number, and how many calls were made at once.

    Args:
        number: to double.
        size: calls of one size go together; 0 goes by itself.
        steps: hundredths of a second.
        room: for so many calls at once.
    """
    return doubled([number], room, steps, context)[0]


def doubled(numbers: Sequence[int], room: int, steps: int, context: Context) -> list[list[int]]:
    """The numbers, doubled at once."""
    if len(numbers) > room:
        raise MemoryError
    for step in range(steps):
        time.sleep(0.01)
        context.progress(step + 1, steps, BatchPreview(lambda item: str(numbers[item]).encode()))
    if FAULTY in numbers:
        raise InputError("as it was asked to")
    return [[2 * number, len(numbers)] for number in numbers]


def together(single: Callable[..., list[int]], calls: Sequence[Mapping[str, Any]]) -> list[list[int]]:
    """All calls at once."""
    numbers = [call["number"] for call in calls]
    return doubled(numbers, calls[0]["room"], calls[0]["steps"], calls[0]["context"])


def size(values: Mapping[str, Any]) -> int:
    """The number of items of a call."""
    return int(values["size"])


DoubledBatch = batched(Doubled, ("number",), together, alike=lambda values: size(values) or None, items=size)
