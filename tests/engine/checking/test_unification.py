"""Families: models, latents and conditionings that meet are of one family, found before anything runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import pytest

from weft.engine import Engine, Graph, Problem, named, node, value

F = TypeVar("F")


class Small:
    """A family."""


class Large:
    """Another family."""


@value
@dataclass(frozen=True)
class Net(Generic[F]):
    """A model."""

    width: int


@value
@dataclass(frozen=True)
class Grain(Generic[F]):
    """A latent."""

    width: int


@node
def SmallNet() -> Net[Small]:
    """A model of one family."""
    return Net(1)


@node
def LargeNet() -> Net[Large]:
    """A model of another."""
    return Net(2)


@node
def Sample(net: Net[F], noise: Grain[F] | None = None) -> Grain[F]:
    """Make a latent of the model's family."""
    return Grain(net.width)


@node
def AnyWidth(noise: Grain[Any]) -> int:
    """Take a latent of any family."""
    return noise.width


def problems(engine: Engine, graph: Graph) -> Sequence[Problem]:
    """The problems of a graph, all of whose nodes are wanted."""
    return engine.check(graph, only=[*graph.nodes]).problems


def test_one_family_is_fine(storeless: Engine) -> None:
    with Graph() as graph:
        AnyWidth(Sample(SmallNet(), Sample(SmallNet())))
        AnyWidth(Sample(LargeNet()))
    assert not problems(storeless, graph)


@pytest.mark.parametrize("swapped", [False, True])
def test_two_families_do_not_mix(swapped: bool, storeless: Engine) -> None:
    first, second = (LargeNet, SmallNet) if swapped else (SmallNet, LargeNet)
    with Graph() as graph:
        named("last", Sample)(second(), named("inner", Sample)(first()))
    (problem,) = problems(storeless, graph)
    assert problem.code == "family-mismatch"
    named_ends = ("Small", "Large", "`small_net`", "`large_net`")
    assert all(end in problem.message for end in named_ends)
