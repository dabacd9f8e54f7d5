"""Values that are hard to tell apart: a value, and one that is the least step away from it."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterator
from random import Random
from typing import Any

from hypothesis import strategies as st

from weft.engine.keys import Digest

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
VALUES = st.recursive(
    SCALARS, lambda parts: st.lists(parts, max_size=4) | st.dictionaries(st.text(), parts, max_size=4), max_leaves=12
)
NUMBERS = st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from((0, 1, 0.0))
LITERALS = NUMBERS | st.lists(NUMBERS, max_size=3) | st.sampled_from(("", "1", "é", "Å", "ﬁ", True, None))
"""What a graph may give to an input."""


def tagged(item: Any) -> Any:
    """A value with its types made visible, so that `==` tells `1`, `1.0` and `True` apart, and `0.0` and `-0.0`."""
    if isinstance(item, list):
        return ["list", *map(tagged, item)]
    if isinstance(item, dict):
        return {name: tagged(part) for name, part in item.items()}
    return (type(item).__name__, repr(item))


def near(chance: Random, item: Any) -> Any:
    """A value a step away, at any depth."""
    if isinstance(item, list) and item and chance.random() < 0.6:
        place = chance.randrange(len(item))
        return [near(chance, part) if index == place else part for index, part in enumerate(item)]
    if isinstance(item, dict) and item and chance.random() < 0.6:
        place = chance.choice([*item])
        return {name: near(chance, part) if name == place else part for name, part in item.items()}
    return chance.choice([*_neighbours(item)])


def _neighbours(item: Any) -> Iterator[Any]:
    yield [item]
    if isinstance(item, (bool, int, float)):
        yield from _numbers_near(item)
    elif isinstance(item, str):
        yield from (unicodedata.normalize(form, item) for form in ("NFC", "NFD", "NFKC"))
        yield from (item + " ", item + "\0", item.swapcase(), item.encode("utf-8", "surrogatepass"))
    elif isinstance(item, bytes):
        yield from (item + b"\0", item.decode("latin-1"), Digest(item.hex()), item.hex())
    elif isinstance(item, list):
        yield from ([], [*item, None], item[::-1], item[:-1], {str(n): part for n, part in enumerate(item)})
    elif isinstance(item, dict):
        yield from ({}, [*item], [[name, part] for name, part in item.items()], {name + " ": 1 for name in item})
    else:
        yield from ([], {}, "", "null", False, 0)


def _numbers_near(item: float) -> Iterator[Any]:
    yield from (str(item), repr(item).lower(), -item, not item, bool(item))
    if isinstance(item, int):
        yield from (item + 1, item - 1, int(item))
    if abs(item) < 2**1000:
        yield from (float(item), math.nextafter(item, math.inf), math.nextafter(item, -math.inf), int(item))
