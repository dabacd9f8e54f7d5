"""Node types called outside of graphs: by the process's engine, and inside of a node by the engine that runs it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any, cast

import pytest

from weft.engine import INJECTED, Context, Engine, Graph, NodeType, node
from weft.engine.spec.at_once import inside_a_run


@node
def Add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@node
def Precision(*, context: Context = INJECTED) -> str:
    """The precision of the engine that runs this."""
    return context.precision


@node(lane="gpu")
def AddTwice(a: int, b: int) -> int:
    """Add by calling a node type, and by running a graph."""
    with Graph() as graph:
        graph.output("sum", Add(Add(a, b), b))
    return int(ENGINES[-1].run(graph).outputs["sum"])


@node(lane="gpu")
def Within(context: Context = INJECTED) -> str:
    """What a node that is called in here runs on."""
    assert inside_a_run()
    return f"{Precision()} {context.precision}"


ENGINES: list[Engine] = []


@pytest.fixture
def halves(storeless: Engine) -> Iterator[Engine]:
    """An engine unlike the process's own one."""
    with Engine(store=None, device="cpu", precision="bfloat16") as engine:
        ENGINES.append(engine)
        yield engine
        ENGINES.clear()


def test_a_call_outside_of_graphs_runs_at_once() -> None:
    assert Add(2, 3) == 5 and not inside_a_run()


def test_a_call_inside_of_a_node_goes_to_the_engine_that_runs_it(halves: Engine) -> None:
    with Graph() as graph:
        graph.output("found", Within())
    assert halves.run(graph).outputs == {"found": "bfloat16 bfloat16"}
    assert halves.run_now(cast(NodeType, Within), {}) == "bfloat16 bfloat16"


def test_a_node_may_run_a_graph_on_its_own_engine(halves: Engine) -> None:
    with Graph() as graph:
        graph.output("sum", AddTwice(1, 2))
    assert halves.run(graph).outputs == {"sum": 5} and halves.submit(graph).result(20).outputs == {"sum": 5}


def test_a_run_inside_of_a_block_that_composes_adds_nothing_to_it(halves: Engine) -> None:
    with Graph() as inner:
        inner.output("found", Within())
    with Graph() as outer:
        assert halves.run(inner).status == "done"
    assert not outer.nodes


INSIDE = threading.Event()


@node(lane="gpu")
def StepsForLong(count: int, context: Context = INJECTED) -> int:
    """Report a step now and then."""
    for step in range(count):
        INSIDE.set()
        time.sleep(0.005)
        context.progress(step + 1, count)
    return count


@node
def CallsForLong(count: int) -> int:
    """Call a short node very often."""
    for number in range(count):
        INSIDE.set()
        Add(number, 1)
        time.sleep(0.001)
    return count


@node
def RunsForLong(count: int) -> int:
    """Run a graph that takes long."""
    with Graph() as graph:
        graph.output("out", StepsForLong(count))
    return int(ENGINES[-1].run(graph).outputs["out"])


@node
def CallsOneForLong(count: int) -> int:
    """Call one node that takes long."""
    return StepsForLong(count)


@pytest.mark.parametrize("outer", [CallsForLong, RunsForLong, CallsOneForLong])
def test_what_a_node_calls_ends_when_its_run_is_cancelled(outer: Any, halves: Engine) -> None:
    INSIDE.clear()
    with Graph() as graph:
        graph.output("out", outer(100_000))
    run = halves.submit(graph)
    assert INSIDE.wait(20)
    run.cancel()
    result = run.result(20)
    assert result.status == "cancelled" and not result.failures
