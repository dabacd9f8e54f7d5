"""Hits computed again: nodes that are not deterministic are named, the others are not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import count

from weft.engine import Engine, Graph, Link, node
from weft.engine.events import Event, NodeAudited

TICKS: Iterator[int] = count()


@node
def Ticks(start: int) -> int:
    """Another number each time."""
    return start + next(TICKS)


@node
def Steady(number: int) -> int:
    """The same number each time."""
    return number + 1


def graph_of() -> Graph:
    """A steady node below one that is not."""
    with Graph() as graph:
        Steady(Ticks(1))
        Steady(5)
    outputs = {name: Link(name) for name in ("steady", "steady_2", "ticks")}
    return replace(graph, outputs=outputs)


def test_an_audit_names_what_is_not_deterministic(engine: Engine) -> None:
    engine.run(graph_of())
    heard: list[Event] = []
    result = engine.execute(engine.plan(graph_of()), listener=heard.append, audit=1.0)
    assert result.unstable == ("ticks",) and result.status == "done" and not result.ran
    audited = {event.node: event.differ for event in heard if isinstance(event, NodeAudited)}
    assert audited == {"ticks": ("int",), "steady": (), "steady_2": ()}


def test_an_audit_takes_its_share_and_changes_nothing_in_the_store(engine: Engine) -> None:
    first = engine.run(graph_of())
    engine.execute(engine.plan(graph_of()), audit=1.0)
    heard: list[Event] = []
    assert engine.execute(engine.plan(graph_of()), listener=heard.append, audit=1e-12).outputs == first.outputs
    assert not [event for event in heard if isinstance(event, NodeAudited)]


def test_an_audit_of_what_has_no_inputs_in_the_store_leaves_it_out(engine: Engine) -> None:
    with Graph() as graph:
        Steady(Steady(1))
    graph = replace(graph, outputs={"out": Link("steady_2")})
    engine.run(graph)
    step = next(step for step in engine.plan(replace(graph, outputs={"out": Link("steady")})).of("cached"))
    assert step.content is not None
    engine._store.drop(step.content)
    assert engine.execute(engine.plan(graph), audit=1.0).unstable == ()
