"""A call that keeps how far it has come: one that is stopped goes on from there, and one that ends leaves nothing."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.refusals import refused
from weft.engine import INJECTED, Context, Engine, Graph, InputError, node
from weft.engine.events import Event, NodeProgress

COUNTED: list[int] = []
"""The numbers that calls have added."""


@node(lane="gpu")
def AddUp(to: int, *, fails_at: int = 0, context: Context = INJECTED) -> int:
    """Add up the numbers up to one of them."""
    state = context.checkpointed() or {"number": 0, "sum": 0}
    number, total = int(state["number"]), int(state["sum"])
    while number < to:
        number, total = number + 1, total + number + 1
        COUNTED.append(number)
        context.checkpoint(partial(dict, number=number, sum=total))
        context.progress(number, to, loss=1 / number)
        if number == fails_at:
            raise InputError("it fails", "do not ask for it", "unusable-input")
    return total


@pytest.fixture(autouse=True)
def counted() -> Iterator[None]:
    COUNTED.clear()
    yield


def adding(to: int, fails_at: int = 0) -> Graph:
    with Graph() as graph:
        graph.output("sum", AddUp(to, fails_at=fails_at))
    return graph


def states(engine: Engine) -> list[Path]:
    return [*Path(str(engine.store)).glob("v1/states/*/*")]


def stopped(engine: Engine, graph: Graph, at: int) -> None:
    """Run a graph until its node has reported a step."""
    seen: list[int] = []

    def hear(event: Event) -> None:
        if isinstance(event, NodeProgress):
            seen.append(event.step)

    result = engine.execute(engine.plan(graph), listener=hear, cancelled=lambda: at in seen)
    assert result.status == "cancelled"


def test_a_call_that_was_stopped_goes_on(engine: Engine) -> None:
    graph = adding(10)
    stopped(engine, graph, 3)
    assert COUNTED == [1, 2, 3] and len(states(engine)) == 1
    assert engine.run(graph).outputs == {"sum": 55}
    assert [*range(1, 11)] == COUNTED and states(engine) == []


def test_a_call_of_other_inputs_begins_at_its_beginning(engine: Engine) -> None:
    stopped(engine, adding(10), 3)
    assert engine.run(adding(5)).outputs == {"sum": 15}
    assert COUNTED == [1, 2, 3, 1, 2, 3, 4, 5] and len(states(engine)) == 1


def test_a_state_is_kept_as_often_as_the_engine_is_asked_to(tmp_path: Path) -> None:
    for every, kept in ((1e-9, 1), (60.0, 0)):
        with Engine(store=tmp_path / str(kept), device="cpu", checkpoint_every=every) as engine:
            with refused("unusable-input"):
                engine.run(adding(5, fails_at=5))
            assert len(states(engine)) == kept


def test_without_a_store_nothing_is_kept(storeless: Engine) -> None:
    graph = adding(4)
    stopped(storeless, graph, 1)
    assert storeless.run(graph).outputs == {"sum": 10}
    assert COUNTED == [1, 1, 2, 3, 4]


def test_numbers_of_a_step_are_in_its_event(engine: Engine) -> None:
    heard: list[Event] = []
    engine.run(adding(2), listener=heard.append)
    steps = [event.plain() for event in heard if isinstance(event, NodeProgress)]
    assert [event["measured"] for event in steps] == [{"loss": 1.0}, {"loss": 0.5}]
    assert "measured" not in NodeProgress("a", "AddUp", 1, 2).plain()
