"""Type variables of node types that stand for some types alone: what a graph gives decides which."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

import pytest

from weft.engine import Engine, Graph, Link, Node, node, value


@value
@dataclass(frozen=True)
class Apple:
    """A fruit."""

    weight: int


@value
@dataclass(frozen=True)
class Pear:
    """Another fruit."""

    weight: int


Fruit = TypeVar("Fruit", Apple, Pear)


@node
def GrowApple(weight: int) -> Apple:
    """An apple."""
    return Apple(weight)


@node
def Slice(fruit: Fruit) -> Fruit:
    """Half of a fruit."""
    return replace(fruit, weight=fruit.weight // 2)


@node
def BiteApple(apple: Apple) -> int:
    """What an apple weighs."""
    return apple.weight


@node
def BitePear(pear: Pear) -> int:
    """What a pear weighs."""
    return pear.weight


def test_the_type_that_arrives_is_the_type_that_is_given(engine: Engine) -> None:
    with Graph() as graph:
        BiteApple(Slice(GrowApple(10)))
    assert engine.run(replace(graph, outputs={"out": Link("bite_apple")})).outputs == {"out": 5}
    with Graph() as wrong:
        BitePear(Slice(GrowApple(10)))  # type: ignore[arg-type]
    (problem,) = engine.check(replace(wrong, outputs={"out": Link("bite_pear")})).problems
    assert (problem.node, problem.input) == ("bite_pear", "pear")


@pytest.mark.parametrize("given", [Link("bite_apple"), 5, "apple"])
def test_what_is_of_none_of_these_types_is_refused(engine: Engine, given: Link | int | str) -> None:
    with Graph() as graph:
        Slice(GrowApple(BiteApple(GrowApple(2))))
    nodes = {**graph.nodes, "slice": Node("Slice", {"fruit": given})}
    (problem,) = engine.check(replace(graph, nodes=nodes, outputs={"out": Link("slice")})).problems
    assert (problem.node, problem.input) == ("slice", "fruit")
