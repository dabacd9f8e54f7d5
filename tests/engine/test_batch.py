"""Node types that make several calls of another together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import pytest

from weft.engine import CatalogError, Choose, Engine, Graph, InputError, batched, node
from weft.engine.types import ListOf, Scalar


@node(category="numbers")
def Sum(first: int, second: int = 2, *, scale: int = 1) -> int:
    """A sum.

    Args:
        first: one number.
        second: another.
        scale: of both.
    """
    return (first + second) * scale


def together(single: Callable[..., int], calls: Sequence[Mapping[str, Any]]) -> list[int]:
    return [single(**call) for call in calls]


SumBatch = batched(Sum, ("first", "second"), together)


def test_it_takes_lists_and_gives_a_list() -> None:
    assert SumBatch.name == "SumBatch" and SumBatch.category == "numbers" and SumBatch.summary
    assert SumBatch.inputs["second"].type == ListOf(Scalar("int")) and SumBatch.inputs["second"].required
    assert SumBatch.inputs["scale"].type == Scalar("int") and SumBatch.outputs["int"].type == ListOf(Scalar("int"))


def test_it_gives_what_each_call_gives() -> None:
    assert SumBatch(first=[1, 2], second=[3, 4], scale=2) == [Sum(1, 3, scale=2), Sum(2, 4, scale=2)]


def test_it_stands_in_graphs() -> None:
    with Graph() as graph:
        graph.output("sum", Choose(index=1, items=SumBatch(first=[1, Sum(1)], second=[1, 2])))
    assert Engine(store=None).run(graph).outputs == {"sum": 5}


def test_lists_are_of_one_length() -> None:
    with pytest.raises(InputError, match="`first` has 1, `second` has 2"):
        SumBatch(first=[1], second=[1, 2])


class Two(NamedTuple):
    """Two outputs."""

    one: int
    two: int


@node
def Both(number: int) -> Two:
    """Two numbers."""
    return Two(number, number)


def test_several_outputs_and_unknown_inputs_are_refused() -> None:
    for single, inputs in ((Both, ["number"]), (Sum, ["third"])):
        with pytest.raises(CatalogError, match="cannot be made together"):
            batched(single, inputs, together)
