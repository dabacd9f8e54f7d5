"""A bound variable has its value inside of the block alone, also where the block raises or binds it again."""

from __future__ import annotations

from contextlib import suppress
from contextvars import ContextVar

from weft.engine.bound_variable import BoundVariable

NUMBER: ContextVar[int] = ContextVar("a number", default=0)


def test_a_value_holds_inside_of_the_block_alone() -> None:
    with suppress(ZeroDivisionError), BoundVariable(NUMBER, 1):
        with BoundVariable(NUMBER, 2):
            assert NUMBER.get() == 2
        assert NUMBER.get() == 1
        raise ZeroDivisionError
    assert NUMBER.get() == 0
