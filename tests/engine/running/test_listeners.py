"""Listeners: a slow one delays no other run, one that raises fails no node, and none can make a run wait for itself."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from tests.refusals import refused
from weft.engine import INJECTED, Context, Engine, Graph, InputError, Submission, events, node

LONG = 20.0
"""Seconds after which a run counts as stuck."""

READ = threading.Event()


@node(lane="gpu")
def Paints(number: int, context: Context = INJECTED) -> int:
    """Use the device for two steps."""
    for step in range(2):
        context.progress(step + 1, 2)
    return number


@node(lane="io")
def Fetches(number: int) -> int:
    """Read nothing, in a thread."""
    return number


@node(lane="gpu")
def PaintsSlowly(number: int, context: Context = INJECTED) -> int:
    """Use the device until a listener has heard of `Fetches`, and report a step then."""
    READ.wait(LONG)
    context.progress(1, 1)
    return number


def painting(number: int = 1) -> Graph:
    """One node on the device."""
    with Graph() as graph:
        graph.output("out", Paints(number))
    return graph


KINDS = (events.RunStarted, events.NodeStarted, events.NodeProgress, events.NodeFinished, events.RunFinished)


@pytest.mark.parametrize("kind", KINDS)
def test_an_exception_of_a_listener_is_raised_after_the_run_and_fails_no_node(kind: type, storeless: Engine) -> None:
    heard: list[events.Event] = []

    def listener(event: events.Event) -> None:
        heard.append(event)
        if isinstance(event, kind):
            raise LookupError(kind.__name__)

    with pytest.raises(LookupError, match=kind.__name__):
        storeless.run(painting(), listener=listener)
    assert not [event for event in heard if isinstance(event, events.NodeFailed)]
    last = heard[-1]
    assert isinstance(last, events.RunFinished)
    assert last.status == ("done" if kind is events.RunFinished else "failed")
    submission = storeless.submit(painting(), listener=listener)
    assert isinstance([*submission][-1], events.RunFinished)
    with pytest.raises(LookupError):
        submission.result(LONG)
    assert storeless.run(painting()).outputs == {"out": 1}


@pytest.mark.parametrize("kind", KINDS)
def test_a_listener_cannot_run_or_wait_but_can_submit(kind: type, storeless: Engine) -> None:
    submitted: list[Submission] = []
    codes: list[str] = []

    def listener(event: events.Event) -> None:
        if isinstance(event, kind) and not submitted:
            submitted.append(storeless.submit(waiting()))
            calls: list[Callable[[], object]] = [
                lambda: storeless.run(painting()),
                lambda: storeless.execute(planned),
                lambda: Paints(1),
                lambda: submitted[0].result(LONG),
                lambda: [*submitted[0]],
            ]
            for call in calls:
                with pytest.raises(InputError) as caught:
                    call()
                codes.append(caught.value.code)
            READ.set()

    READ.clear()
    planned = storeless.plan(painting())
    assert storeless.run(painting(), listener=listener).status == "done"
    assert codes == ["inside-listener"] * 5
    assert submitted[0].result(LONG).outputs == {"out": 7}


def waiting() -> Graph:
    """One node on the device that waits for `READ`."""
    with Graph() as graph:
        graph.output("out", PaintsSlowly(7))
    return graph


@pytest.mark.parametrize("kind", [events.NodeStarted, events.NodeFinished])
def test_a_slow_listener_keeps_the_device_from_no_other_run(kind: type, storeless: Engine) -> None:
    reached, go_on = threading.Event(), threading.Event()

    def listener(event: events.Event) -> None:
        if isinstance(event, kind):
            reached.set()
            go_on.wait(LONG)

    slow = storeless.submit(painting(), listener=listener)
    try:
        assert reached.wait(LONG)
        assert storeless.submit(painting(2)).result(LONG / 4).outputs == {"out": 2}
    finally:
        go_on.set()
    assert slow.result(LONG).status == "done"


def test_a_listener_that_runs_a_graph_while_a_node_reports_does_not_stop_the_device(storeless: Engine) -> None:
    """The listener is called for a node in a thread, while another node has the device and waits for the listener."""

    def listener(event: events.Event) -> None:
        if isinstance(event, events.NodeFinished) and event.type == "Fetches":
            READ.set()
            storeless.run(painting())

    READ.clear()
    with Graph() as graph:
        graph.output("read", Fetches(1))
        graph.output("painted", PaintsSlowly(2))
    with pytest.raises(InputError) as caught:
        storeless.submit(graph, listener=listener).result(LONG)
    assert caught.value.code == "inside-listener"


def test_a_listener_that_nobody_would_await_is_refused(storeless: Engine) -> None:
    heard: list[events.Event] = []

    async def listener(event: events.Event) -> None:
        heard.append(event)

    with refused("wrong-type"):
        storeless.run(painting(), listener=listener)  # type: ignore[arg-type]
    assert not heard
