"""Whatever a node raises is a failure of that node alone; only an interrupt of the user ends the run."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pytest

from weft.engine import Cancelled, Context, Engine, Graph, Lazy, NodeError, NodeProblem, events, named, node
from weft.engine.keys import Digest
from weft.engine.spec.context import INJECTED
from weft.engine.store import CorruptRecord


class UnprintableError(Exception):
    """An exception whose message raises."""

    def __str__(self) -> str:
        raise SystemExit(3)


class WordlessError(Exception):
    """An exception whose message is no text."""

    def __str__(self) -> str:
        return None  # type: ignore[return-value]


def recursive(depth: int) -> int:
    return recursive(depth + 1) + 1


def ending(kind: str) -> object:
    """Raise what a kind names."""
    match kind:
        case "sys.exit":
            sys.exit(0)
        case "argparse":
            import argparse

            argparse.ArgumentParser().parse_args(["--no-such-option"])
        case "cancelled by asyncio":
            raise asyncio.CancelledError
        case "interrupted":
            raise KeyboardInterrupt
        case "generator":
            raise GeneratorExit
        case "iteration":
            return next(iter(()))
        case "base":
            raise BaseException("a base")
        case "group":
            raise BaseExceptionGroup("two", [SystemExit(1), ValueError()])
        case "memory":
            raise MemoryError
        case "recursion":
            return recursive(0)
        case "cancelled":
            raise Cancelled("by the node itself")
        case "damage":
            raise CorruptRecord(Digest("0" * 64), "no record of this run")
        case "unprintable":
            raise UnprintableError
        case "wordless":
            raise WordlessError
        case "surrogate":
            raise OSError(2, "no such file", os.fsdecode(b"\xff.png"))
    return kind


KINDS = (
    "sys.exit",
    "argparse",
    "cancelled by asyncio",
    "interrupted",
    "generator",
    "iteration",
    "base",
    "group",
    "memory",
    "recursion",
    "cancelled",
    "damage",
    "unprintable",
    "wordless",
    "surrogate",
)


@node
def Ends(kind: str) -> str:
    """End in a way that a library may have."""
    ending(kind)
    return kind


@node(lane="gpu")
def EndsOnDevice(kind: str) -> str:
    """The same with the device."""
    ending(kind)
    return kind


@node(lane="io")
def EndsInThread(kind: str) -> str:
    """The same in a thread of the run."""
    ending(kind)
    return kind


@node(lane="io")
def Reads(number: int) -> int:
    """Read nothing, in a thread."""
    return number


@node
def Same(text: str) -> str:
    """Give back what comes."""
    return text


NODES = (Ends, EndsOnDevice, EndsInThread)


def graph_of(type: Callable[[str], str], kind: str) -> Graph:
    """A node that ends, one below it, and two apart."""
    with Graph() as graph:
        graph.output("below", Same(named("ends", type)(kind)))
        graph.output("apart", Same("x"))
        graph.output("read", Reads(1))
    return graph


@pytest.mark.parametrize("type", NODES)
@pytest.mark.parametrize("kind", KINDS)
def test_whatever_a_node_raises_is_its_own_failure(type: Callable[[str], str], kind: str, storeless: Engine) -> None:
    heard: list[events.Event] = []
    graph = graph_of(type, kind)
    result = storeless.execute(storeless.plan(graph), listener=heard.append)
    assert result.status == "failed" and [failure.node for failure in result.failures] == ["ends"]
    assert result.outputs == {"apart": "x", "read": 1}
    assert isinstance(heard[-1], events.RunFinished) and heard[-1].status == "failed"
    assert orjson.dumps([event.plain() for event in heard]) and orjson.dumps(result.plain())
    with pytest.raises(NodeError):
        storeless.run(graph)


@pytest.mark.parametrize("kind", ["sys.exit", "interrupted", "cancelled by asyncio", "iteration"])
def test_a_submission_has_it_in_its_result(kind: str, storeless: Engine) -> None:
    submission = storeless.submit(graph_of(Ends, kind))
    assert isinstance([*submission][-1], events.RunFinished)
    assert [failure.node for failure in submission.result(20).failures] == ["ends"]

    async def awaited() -> str:
        return (await storeless.submit(graph_of(Ends, kind))).status

    assert asyncio.run(awaited()) == "failed"


def test_a_node_that_stops_itself_cancels_no_run_but_a_cancelled_run_is_no_failure(storeless: Engine) -> None:
    asked = threading.Event()

    def listener(event: events.Event) -> None:
        if isinstance(event, events.NodeStarted):
            asked.set()

    result = storeless.execute(storeless.plan(graph_of(Ends, "cancelled")), listener=listener, cancelled=asked.is_set)
    assert result.status == "cancelled" and not result.failures


def interrupted(raising: Callable[[], object], number: int = signal.SIGINT) -> Callable[[int], int]:
    """A node during which the process gets a signal."""

    def Waits(steps: int) -> int:
        """Wait for the signal."""
        try:
            os.kill(os.getpid(), number)
            time.sleep(0.2)
        finally:
            raising()
        return steps

    return node(Waits)


def nothing() -> None:
    """Raise nothing."""


def other() -> None:
    """Raise something else, as a clean-up may."""
    raise SystemExit(0)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C interrupts this process, also where the tests run in the background of a shell."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize(("raising", "expected"), [(nothing, KeyboardInterrupt), (other, SystemExit)])
def test_ctrl_c_ends_the_run_at_once(
    raising: Callable[[], object], expected: type[BaseException], storeless: Engine
) -> None:
    before = signal.getsignal(signal.SIGINT)
    with Graph() as graph:
        graph.output("out", interrupted(raising)(1))
    with pytest.raises(expected):
        storeless.run(graph)
    assert signal.getsignal(signal.SIGINT) is before
    assert storeless.run(graph_of(Same, "a")).status == "done"


@pytest.fixture
def terminated() -> Iterator[None]:
    """A process that ends itself at SIGTERM, as services do."""

    def end(number: int, frame: object) -> None:
        sys.exit(143)

    before = signal.signal(signal.SIGTERM, end)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("terminated")
def test_a_service_that_is_terminated_ends_though_a_node_runs(storeless: Engine) -> None:
    with Graph() as graph:
        graph.output("out", interrupted(nothing, signal.SIGTERM)(1))
    with pytest.raises(SystemExit) as caught:
        storeless.run(graph)
    assert caught.value.code == 143


@pytest.mark.parametrize("kind", ["sys.exit", "interrupted", "iteration", "generator"])
def test_what_a_listener_raises_fails_no_node(kind: str, storeless: Engine) -> None:
    def listener(event: events.Event) -> None:
        heard.append(event)
        if isinstance(event, events.NodeStarted):
            ending(kind)

    heard: list[events.Event] = []
    with pytest.raises((SystemExit, KeyboardInterrupt, StopIteration, GeneratorExit)):
        storeless.run(graph_of(Same, "a"), listener=listener)
    assert isinstance(heard[-1], events.RunFinished)
    assert not [event for event in heard if isinstance(event, events.NodeFailed)]


def checking(kind: str, hook: str) -> Callable[[str], str]:
    """A node type whose own check ends."""

    def find(*given: object) -> Iterator[NodeProblem]:
        ending(kind)
        yield from ()

    def keep(*given: object) -> dict[str, object]:
        ending(kind)
        return {}

    def Checked(text: str) -> str:
        """Never runs."""
        return text

    given: dict[str, Any] = {"check": find, "fits": find, "lazy": Lazy("text", keep)}
    return node(**{hook: given[hook]})(Checked)


@pytest.mark.parametrize("hook", ["check", "fits", "lazy"])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "interrupted"])
def test_a_check_that_ends_is_a_problem_of_its_node(hook: str, kind: str, storeless: Engine) -> None:
    with Graph() as graph:
        graph.output("out", checking(kind, hook)("a"))
    problems = storeless.check(graph).problems
    assert [(problem.node, problem.code) for problem in problems] == [("checked", "failed-check")]
    assert orjson.dumps([problem.plain() for problem in problems])


@pytest.mark.parametrize("kind", ["sys.exit", "cancelled by asyncio"])
def test_nodes_that_call_and_run_others_fail_by_what_these_raise(kind: str, storeless: Engine) -> None:
    @node
    def Calls(kind: str, context: Context = INJECTED) -> str:
        """Call a node type at once."""
        return Ends(kind)

    @node
    def Runs(kind: str, context: Context = INJECTED) -> str:
        """Run a graph."""
        return str(storeless.run(graph_of(Ends, kind)).outputs)

    for type in (Calls, Runs):
        result = storeless.execute(storeless.plan(graph_of(type, kind)))
        assert [failure.node for failure in result.failures] == ["ends"] and result.outputs["apart"] == "x"


@pytest.mark.parametrize("kind", KINDS)
def test_audits_report_what_is_raised(kind: str, engine: Engine) -> None:
    turn = [""]

    @node
    def Unsteady(number: int) -> int:
        """End when it runs for the second time."""
        if turn.pop():
            ending(kind)
        return number

    with Graph() as graph:
        graph.output("out", Unsteady(1))
    engine.run(graph)
    turn.append("second")
    result = engine.execute(engine.plan(graph), audit=1.0)
    assert result.status == "done" and result.unstable == ("unsteady",)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_of_a_node_that_dies_is_nobody_elses_failure(storeless: Engine) -> None:
    @node
    def Threads(number: int) -> int:
        """Have a thread end by `sys.exit`."""
        thread = threading.Thread(target=sys.exit)
        thread.start()
        thread.join()
        return number

    with Graph() as graph:
        graph.output("out", Threads(1))
    assert storeless.run(graph).outputs == {"out": 1}
