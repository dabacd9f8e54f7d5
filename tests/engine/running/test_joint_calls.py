"""Calls of several runs that wait for a device are made together, each with its own result, key, cancel and fault."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.engine.running.joint_nodes import DoubledBatch
from weft.engine import Engine, Graph, Submission, events, node
from weft.engine.graph.graph import Link, Node
from weft.engine.running.joint_calls import Hears, JointCall, JointCalls
from weft.engine.store.memory import MemoryStore

LONG = 30.0
"""Seconds after which a run counts as stuck."""

NODES = Path(__file__).with_name("joint_nodes.py")

Made = Callable[..., Engine]


@pytest.fixture
def made(tmp_path: Path) -> Made:
    """Makes an engine with node types whose calls are made together."""
    return lambda **options: Engine(
        **{"store": MemoryStore(), "output": tmp_path, "device": "cpu", "nodes": [NODES], **options}
    )


@node(lane="gpu")
def HoldsDevice(number: int) -> int:
    """Use the device until it is released."""
    HELD.set()
    RELEASED.wait(LONG)
    return number


NUMBERS = count()
"""A number for each call that holds the device, so that none is cached."""

HELD, RELEASED = threading.Event(), threading.Event()


def doubling(number: int, **inputs: Any) -> Graph:
    """A graph with one call, whose result is the output `found`."""
    return Graph(nodes={"double": Node("Doubled", {"number": number, **inputs})}, outputs={"found": Link("double")})


@contextmanager
def waiting(engine: Engine, graphs: Sequence[Graph], previews: bool = False) -> Iterator[list[Submission]]:
    """Submissions that wait for the device within the block, in this order, and get it at its end."""
    HELD.clear()
    RELEASED.clear()
    with Graph() as holding:
        holding.output("out", HoldsDevice(next(NUMBERS)))
    holder = engine.submit(holding)
    assert HELD.wait(LONG)
    runs = []
    try:
        for graph in graphs:
            runs.append(engine.submit(graph, previews=previews))
            assert any(isinstance(event, events.NodeStarted) for event in runs[-1].listen())
            time.sleep(0.03)  # from the event to the wait
        yield runs
    finally:
        RELEASED.set()
        holder.result(LONG)


def found(runs: Sequence[Submission]) -> list[Any]:
    """What runs gave."""
    return [run.result(LONG).outputs.get("found") for run in runs]


def counts(runs: Sequence[Submission]) -> list[int]:
    """How many calls were made with that of each run."""
    return [count for _, count in found(runs)]


def test_calls_that_wait_are_made_together_and_kept_under_their_own_keys(made: Made) -> None:
    engine = made()
    with waiting(engine, [doubling(number) for number in range(4)]) as runs:
        pass
    assert found(runs) == [[2 * number, 4] for number in range(4)]
    again = [engine.run(doubling(number)) for number in range(4)]
    assert [result.ran for result in again] == [()] * 4
    assert found(runs) == [result.outputs["found"] for result in again]


def test_a_run_alone_is_made_by_itself(made: Made) -> None:
    assert made().run(doubling(5)).outputs == {"found": [10, 1]}


@pytest.mark.parametrize("inputs", [{"size": 0}, {"steps": 2}], ids=["by itself", "another setting"])
def test_what_cannot_share_a_batch_is_made_apart(made: Made, inputs: dict[str, int]) -> None:
    with waiting(made(), [doubling(1), doubling(2, **inputs), doubling(3), doubling(4, **inputs)]) as runs:
        pass
    assert counts(runs) == ([2, 1, 2, 1] if "size" in inputs else [2] * 4)


@pytest.mark.parametrize(
    ("batch", "size", "wanted"), [(1, 1, [1] * 5), (3, 1, [3, 3, 3, 2, 2]), (5, 2, [2, 2, 2, 2, 1])]
)
def test_a_batch_has_so_many_items_at_most(made: Made, batch: int, size: int, wanted: list[int]) -> None:
    with waiting(made(batch=batch), [doubling(number, size=size) for number in range(5)]) as runs:
        pass
    assert counts(runs) == wanted


def test_a_batch_has_no_more_items_than_there_is_memory_for() -> None:
    hears = Hears(lambda *progress: None, lambda notice: None, lambda relief: None, lambda: False)
    calls = [JointCall(DoubledBatch, 0, {"size": 1}, hears, lambda given: {}, most) for most in (3, None, 3, 3, 3)]
    joint = JointCalls({}, 4)
    with ExitStack() as held:
        for call in calls:
            held.enter_context(joint.waiting(call))
        assert [len(joint.batch(call).calls) for call in calls] == [3, 4, 3, 3, 3]


@pytest.mark.parametrize(
    ("cancelled", "limit"), [(0, None), (0, LONG), (2, None)], ids=["who makes the calls", "with a limit", "another"]
)
def test_a_run_that_is_cancelled_stops_no_other(made: Made, cancelled: int, limit: float | None) -> None:
    with waiting(made(node_timeout=limit), [doubling(number, steps=30) for number in range(3)]) as runs:
        pass
    next(event for event in runs[cancelled].listen() if isinstance(event, events.NodeProgress))
    runs[cancelled].cancel()
    assert runs[cancelled].result(LONG).status == "cancelled"
    others = [run for run in runs if run is not runs[cancelled]]
    assert not any(run.done for run in others)
    assert counts(others) == [3, 3]


def test_a_batch_ends_where_all_are_cancelled(made: Made) -> None:
    with waiting(made(), [doubling(number, steps=100_000) for number in range(2)]) as runs:
        pass
    next(event for event in runs[0].listen() if isinstance(event, events.NodeProgress))
    for run in runs:
        run.cancel()
    assert [run.result(LONG).status for run in runs] == ["cancelled"] * 2
    assert made().run(doubling(1)).status == "done"  # the device is free again


def test_a_run_that_was_cancelled_while_it_waited_is_left_out(made: Made) -> None:
    with waiting(made(), [doubling(number) for number in range(3)]) as runs:
        runs[1].cancel()
        assert runs[1].result(LONG).status == "cancelled"
    assert counts([runs[0], runs[2]]) == [2, 2]


def test_a_call_that_fails_fails_alone(made: Made) -> None:
    with waiting(made(), [doubling(number) for number in (1, 13, 2)]) as runs:
        pass
    assert [run.result(LONG).status for run in runs] == ["done", "failed", "done"]
    assert counts([runs[0], runs[2]]) == [1, 1]


def test_a_batch_without_room_is_divided_and_the_next_one_is_smaller_at_once(made: Made) -> None:
    engine = made()
    with waiting(engine, [doubling(number, room=2) for number in range(4)]) as runs:
        pass
    with waiting(engine, [doubling(number, room=2) for number in range(20, 24)]) as later:
        pass
    assert counts(runs) == counts(later) == [2] * 4

    def relieved(run: Submission) -> bool:
        return any(isinstance(event, events.MemoryRelieved) for event in run.listen())

    assert all(map(relieved, runs)) and not any(map(relieved, later))


def test_calls_together_have_the_time_of_each(made: Made) -> None:
    with waiting(made(node_timeout=0.5), [doubling(number, steps=60) for number in range(2)]) as runs:
        pass
    assert counts(runs) == [2, 2]


def test_calls_together_that_take_too_long_fail_one_by_one(made: Made) -> None:
    with waiting(made(node_timeout=0.1), [doubling(number, steps=1000) for number in range(2)]) as runs:
        pass
    assert [run.result(LONG).status for run in runs] == ["failed"] * 2


def test_each_run_sees_its_own_previews(made: Made) -> None:
    with waiting(made(), [doubling(number) for number in range(3)], previews=True) as runs:
        pass
    shown = [[event.preview for event in run.listen() if isinstance(event, events.NodeProgress)] for run in runs]
    assert shown == [[str(number).encode()] for number in range(3)]
