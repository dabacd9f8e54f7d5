"""Values to parts and back: bit for bit, with types; what is unknown raises."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from weft.engine import ADDED_LATER, StoreError, value
from weft.engine.keys import Digest
from weft.engine.store.codec import content_digest, flatten, restore


@value
@dataclass(frozen=True)
class Thing:
    """A value with a field of each kind."""

    pixels: Any
    source: Any = None
    parts: tuple[Any, ...] = ()


@value
@dataclass(frozen=True)
class Grown:
    """A value class that gained fields after values of it were stored."""

    pixels: Any
    mask: Any = field(default=None, metadata=ADDED_LATER)
    weight: float = field(default=0.0, metadata=ADDED_LATER)
    parts: tuple[Any, ...] = field(default=(), metadata=ADDED_LATER)


def there_and_back(item: Any) -> Any:
    """A value taken apart and built again, with its tensors as they are."""
    parts = flatten(item)
    return restore(parts.tree, parts.tensors.__getitem__, parts.blobs.__getitem__)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda parts: (
        st.lists(parts, max_size=3)
        | st.lists(parts, max_size=3).map(tuple)
        | st.dictionaries(st.text() | st.integers(), parts, max_size=3)
    ),
    max_leaves=10,
)


@given(PLAIN)
def test_plain_values_come_back_with_their_types(item: Any) -> None:
    again = there_and_back(item)
    assert again == item and repr(again) == repr(item)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, -0.0, 5e-324, 2**63, -(2**63), 2**200])
def test_numbers_that_json_loses(number: float) -> None:
    again = there_and_back(number)
    assert repr(again) == repr(number) and type(again) is type(number)


def test_a_value_keeps_its_classes() -> None:
    item = Thing([1], Digest("ab" * 32), (Thing(b"x"), {"a": None}))
    again = there_and_back(item)
    assert again == item and type(again.source) is Digest


@pytest.mark.parametrize("strange", [{1}, object(), 1j, range(2), "\ud800", type("Loose", (), {})()])
def test_what_cannot_cross_a_link(strange: object) -> None:
    with pytest.raises(TypeError):
        flatten([strange])


def test_a_class_that_nobody_defines_any_more() -> None:
    with pytest.raises(StoreError, match="Gone"):
        restore({"value": "Gone", "fields": {}}, [].__getitem__, [].__getitem__)


def test_content_digests_tell_values_apart() -> None:
    ones = torch.ones(2, 3)
    items = [ones, ones.reshape(3, 2), ones.half(), ones * 2, [ones], Thing(ones), Thing(ones, "x"), 1, 1.0, "1", True]
    items += [Digest("ab" * 32), "ab" * 32, [1], (1,), b"1", None]
    assert len({content_digest(item) for item in items}) == len(items)


def test_equal_content_has_one_digest() -> None:
    wide = torch.arange(6.0).reshape(2, 3)
    assert content_digest(wide.T) == content_digest(wide.T.contiguous())
    assert content_digest(there_and_back(Thing(wide))) == content_digest(Thing(wide.clone()))


def test_a_field_added_later_is_part_of_no_digest_while_it_has_its_default() -> None:
    assert flatten(Grown([1])).tree == {"value": "Grown", "fields": {"pixels": {"list": [1]}}}
    assert there_and_back(Grown([1])) == Grown([1])
    others = [Grown([1], mask=[0]), Grown([1], weight=1.0), Grown([1], weight=-0.0), Grown([1], mask=0)]
    assert len({content_digest(one) for one in [Grown([1]), *others]}) == 5
    assert [repr(there_and_back(one)) for one in others] == [repr(one) for one in others]
