"""How large the values of a running node may be: texts, lists in one another, tensors, pictures.

A graph of a few lines can make a text or a list ten times as long with each node. So what a node takes and what it
gives is measured, each part as often as it occurs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from weft.engine.errors import InputError
from weft.engine.limits import Limits
from weft.engine.refused_words import check_words
from weft.engine.types import VALUES, field_values

MAX_NESTING = 100
"""How deep lists may lie in one another."""

BYTES_PER_PIXEL = 16
"""Tensors of one value may have so many times `max_pixels` bytes: four channels in float32."""

BOUNDED = frozenset({int, float, bool, type(None)})
"""Types of values that are never too large."""


@runtime_checkable
class Limited(Protocol):
    """A value class that has limits of its own."""

    def check_limits(self, limits: Limits) -> None:
        """Raise `InputError` where the value is larger than the limits allow."""


def check_extent(item: object, limits: Limits) -> None:
    """Hold a value, and all that is in it, to the limits.

    Raises:
        InputError: for texts, lists or tensors that are larger in all, for lists that are nested deeper, and for a
            text with a word that is refused.
    """
    if type(item) in BOUNDED:
        return
    text = elements = size = 0
    stack: list[tuple[object, int]] = [(item, 0)]
    while stack:
        part, depth = stack.pop()
        if isinstance(part, str):
            text += len(part)
            check_words(part, limits.refused_words)
        elif isinstance(part, (list, tuple, Mapping)):
            elements += len(part)
            _check(elements, limits.max_elements, "elements of lists", "too-many-elements", "WEFT_MAX_ELEMENTS")
            if depth > MAX_NESTING:
                message = f"lists are nested deeper than {MAX_NESTING} levels"
                raise InputError(message, "give a list of plain values", "too-deep")
            inner = part.values() if isinstance(part, Mapping) else part
            stack += [(one, depth + 1) for one in inner if type(one) not in BOUNDED]
        elif VALUES.get(type(part).__name__) is type(part):
            if isinstance(part, Limited):
                part.check_limits(limits)
            stack += [(one, depth) for one in field_values(part).values() if type(one) not in BOUNDED]
        else:
            size += int(getattr(part, "nbytes", 0))
    _check(text, limits.max_text, "characters of text", "too-long-text", "WEFT_MAX_TEXT")
    _check(size, BYTES_PER_PIXEL * limits.max_pixels, "bytes of tensors", "too-many-pixels", "WEFT_MAX_PIXELS")


def check_text(length: int, limits: Limits) -> None:
    """Raise `InputError` where a text of so many characters is longer than the limit; asked before it is made."""
    _check(length, limits.max_text, "characters of text", "too-long-text", "WEFT_MAX_TEXT")


def check_pixels(width: int, height: int, batch: int, limits: Limits) -> None:
    """Raise `InputError` where pictures are larger than the limits, or too many; asked before they are made."""
    pixels = width * height * batch
    if pixels > limits.max_pixels:
        message = f"{pixels:,} pixels in all are more than the limit of {limits.max_pixels:,}"
        raise InputError(message, "make smaller pictures or fewer, or raise WEFT_MAX_PIXELS", "too-many-pixels")
    if batch > limits.max_batch:
        message = f"a batch of {batch:,} is larger than the limit of {limits.max_batch:,}"
        raise InputError(message, "make a smaller batch, or raise WEFT_MAX_BATCH", "batch-too-large")


def _check(found: int, most: int, what: str, code: str, variable: str) -> None:
    if found > most:
        message = f"{found:,} {what} are more than the limit of {most:,}"
        raise InputError(message, f"give less, or raise {variable}", code)
