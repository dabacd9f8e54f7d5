"""Node types that make several calls of another together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import pytest

from weft.engine import CatalogError, Choose, Collect, Engine, Graph, InputError, Limits, NodeProblem, batched, node
from weft.engine.spec.upstream import Upstream
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
    with pytest.raises(InputError) as raised:
        SumBatch(first=[1], second=[1, 2])
    assert raised.value.code == "unequal-lists"


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
        with pytest.raises(CatalogError):
            batched(single, inputs, together)


def small(literals: Mapping[str, Any], limits: Limits) -> Iterator[NodeProblem]:
    if literals.get("number", 0) > 9:
        yield NodeProblem("number", f"{literals['number']} is too much")


def below_a_sum(upstream: Upstream) -> Iterator[NodeProblem]:
    above = upstream.above("number")
    if above and above.literals["first"] > 9:
        yield NodeProblem("number", "comes from too much")


@node(check=small, fits=below_a_sum)
def Double(number: int) -> int:
    """Twice a number."""
    return 2 * number


DoubleBatch = batched(Double, ["number"], together)


def test_what_is_wrong_with_one_call_is_found_before_anything_runs() -> None:
    with Graph() as graph:
        Collect([Choose(0, DoubleBatch(number=[1, 20])), Choose(0, DoubleBatch(number=[Sum(1), Sum(20), Sum(30)]))])
    found = [problem.message for problem in Engine(store=None).check(graph, only=["collect"]).problems]
    assert found == ["20 is too much", "comes from too much"]
