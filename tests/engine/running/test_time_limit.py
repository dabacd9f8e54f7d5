"""A node that takes longer than its limit has failed, whether it looks or not, and what does not need it goes on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from weft.engine import INJECTED, Context, Engine, Graph, InputError, NodeError, events, named, node
from weft.engine.errors import TimeLimitError

LIMIT = 0.15

LONG = 20.0
"""Seconds after which a run counts as stuck."""

GO_ON = threading.Event()


@pytest.fixture(autouse=True)
def released() -> Iterator[None]:
    """Nodes that hang are released after the test."""
    GO_ON.clear()
    yield
    GO_ON.set()


@pytest.fixture
def limited(tmp_path: Path) -> Engine:
    """An engine whose nodes have `LIMIT` seconds."""
    return Engine(store=tmp_path / "store", output=tmp_path / "output", device="cpu", node_timeout=LIMIT)


@node
def Steps(count: int, *, context: Context = INJECTED) -> int:
    """Report hundredths of a second."""
    for step in range(count):
        time.sleep(0.01)
        context.progress(step + 1, count)
    return count


@node
def Hangs(number: int) -> int:
    """Never look whether it is to end."""
    GO_ON.wait(LONG)
    return number


@node(lane="gpu")
def HangsOnDevice(number: int) -> int:
    """The same on the device."""
    GO_ON.wait(LONG)
    return number


@node(lane="io")
def HangsInThread(number: int) -> int:
    """The same in a thread of the run."""
    GO_ON.wait(LONG)
    return number


@node(lane="gpu")
def Paints(number: int) -> int:
    """Use the device."""
    return number


def pair(type: Callable[[int], int], number: int = 1) -> Graph:
    """A node that takes long, and one that does not."""
    with Graph() as graph:
        graph.output("long", named("long", type)(number))
        graph.output("short", named("short", Steps)(1))
    return graph


@pytest.mark.parametrize("type", [Hangs, HangsOnDevice, HangsInThread])
def test_a_node_that_hangs_fails_alone(type: Callable[[int], int], limited: Engine) -> None:
    heard: list[events.Event] = []
    started = time.monotonic()
    result = limited.execute(limited.plan(pair(type)), listener=heard.append)
    assert LIMIT < time.monotonic() - started < LONG / 2
    (failure,) = result.failures
    assert isinstance(failure.cause, TimeLimitError) and failure.cause.code == "time-limit"
    assert (failure.node, result.outputs) == ("long", {"short": 1})
    assert isinstance(heard[-1], events.RunFinished) and heard[-1].status == "failed"


def test_a_node_that_looks_ends_at_its_limit(limited: Engine) -> None:
    started = time.monotonic()
    result = limited.execute(limited.plan(pair(Steps, 10_000)))
    assert LIMIT < time.monotonic() - started < 2 * LIMIT + 0.5
    assert [type(failure.cause) for failure in result.failures] == [TimeLimitError]


def test_what_is_within_the_limit_gives_what_it_gives_without_one(limited: Engine, storeless: Engine) -> None:
    assert limited.run(pair(Steps, 5)).outputs == storeless.run(pair(Steps, 5)).outputs == {"long": 5, "short": 1}
    with Graph() as graph:
        graph.output("out", Steps(-1))
    assert limited.run(graph).outputs == {"out": -1}


def test_what_a_node_runs_ends_at_its_limit_too(limited: Engine, tmp_path: Path) -> None:
    inner = Engine(store=None, output=tmp_path, device="cpu")

    @node
    def Runs(number: int) -> int:
        """Run a graph."""
        return int(inner.run(pair(Steps, number)).outputs["long"])

    result = limited.execute(limited.plan(pair(Runs, 10_000)))
    assert [type(failure.cause) for failure in result.failures] == [TimeLimitError]


def test_a_device_that_is_lost_fails_those_that_wait_for_it_until_it_is_given_back(
    limited: Engine, storeless: Engine
) -> None:
    with pytest.raises(NodeError):
        limited.run(pair(HangsOnDevice))
    waiting = storeless.execute(storeless.plan(pair(Paints)))
    assert [failure.cause.code for failure in waiting.failures if isinstance(failure.cause, InputError)] == [
        "device-lost"
    ]
    assert waiting.outputs == {"short": 1}
    GO_ON.set()
    end = time.monotonic() + LONG
    while storeless.execute(storeless.plan(pair(Paints))).failures:
        assert time.monotonic() < end
    assert storeless.run(pair(Paints)).outputs == {"long": 1, "short": 1}


def test_waits_for_other_runs_do_not_count(limited: Engine, storeless: Engine) -> None:
    other = storeless.submit(pair(HangsOnDevice))
    next(event for event in other if isinstance(event, events.NodeStarted))
    waiting = limited.submit(pair(Paints))
    time.sleep(3 * LIMIT)
    GO_ON.set()
    assert waiting.result(LONG).status == other.result(LONG).status == "done"


def test_a_run_that_is_cancelled_is_cancelled_and_not_failed(limited: Engine) -> None:
    run = limited.submit(pair(Steps, 10_000))
    run.cancel()
    assert run.result(LONG).status == "cancelled" and not run.result().failures


@pytest.mark.parametrize("limit", [0.0, -1.0, float("nan"), float("inf")])
def test_a_limit_that_is_none_is_refused(limit: float) -> None:
    with pytest.raises(InputError) as caught:
        Engine(store=None, node_timeout=limit)
    assert caught.value.code == "malformed-setting"
