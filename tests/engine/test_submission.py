"""A submitted run tells its events as they come, gives its result, and can be cancelled; several go on at once."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest

from weft.engine import INJECTED, Context, Engine, Graph, GraphError, Link, named, node


@node
def Work(steps: int, *, context: Context = INJECTED) -> int:
    """Work for so many hundredths of a second."""
    for step in range(steps):
        time.sleep(0.01)
        context.progress(step + 1, steps)
    return steps


def work(steps: int) -> Graph:
    """One node that works."""
    with Graph() as graph:
        named("work", Work)(steps)
    return replace(graph, outputs={"out": Link("work")})


def test_events_come_in_order_and_then_the_result(engine: Engine) -> None:
    run = engine.submit(work(2))
    names = [event.plain()["event"] for event in run]
    assert names == ["run_started", "node_started", "node_progress", "node_progress", "node_finished", "run_finished"]
    assert run.result().outputs == {"out": 2} and run.done


def test_events_can_be_awaited(engine: Engine) -> None:
    async def heard() -> list[str]:
        return [event.plain()["event"] async for event in engine.submit(work(1))]

    assert asyncio.run(heard())[-1] == "run_finished"


def test_a_run_can_be_cancelled(engine: Engine) -> None:
    run = engine.submit(work(10_000))
    with pytest.raises(TimeoutError):
        run.result(timeout=0.05)
    run.cancel()
    assert run.result(timeout=20).status == "cancelled"


def test_problems_come_with_the_result(engine: Engine) -> None:
    run = engine.submit(Graph())
    assert list(run) == []
    with pytest.raises(GraphError, match="nothing to run"):
        run.result()


def test_several_go_on_at_once(engine: Engine) -> None:
    runs = [engine.submit(work(steps)) for steps in range(3, 9)]
    assert [run.result(timeout=20).outputs["out"] for run in runs] == [*range(3, 9)]
