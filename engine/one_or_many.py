"""Arguments that take several names or paths, and are often given one."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TypeVar, cast

T = TypeVar("T")


def one_or_many(given: Iterable[T]) -> tuple[T, ...]:
    """What is given, as a tuple.

    A text, a path or anything else that is no collection becomes a tuple of one. A signature cannot express
    this: to a type checker a text is a collection of its letters.
    """
    if isinstance(given, (str, bytes, os.PathLike)) or not isinstance(given, Iterable):
        return (cast(T, given),)
    return tuple(given)
