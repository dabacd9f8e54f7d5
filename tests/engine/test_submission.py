"""A submitted run gives its events as they come, its result, and can be cancelled; several go on at once."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image as Pictures

from weft.engine import INJECTED, Artifact, Context, Engine, Graph, GraphError, Link, Submission, named, node
from weft.engine.events import Event
from weft.engine.picture_text import carried
from weft.engine.process_end import AT_EXIT
from weft.engine.store.disk import DiskStore


@node
def Work(steps: int, *, context: Context = INJECTED) -> int:
    """Work for so many hundredths of a second."""
    for step in range(steps):
        time.sleep(0.01)
        context.progress(step + 1, steps)
    return steps


@node
def Dot(level: int) -> Artifact:
    """One pixel."""
    packed = BytesIO()
    Pictures.new("RGB", (1, 1), (level, level, level)).save(packed, "PNG")
    return Artifact(packed.getvalue(), "image/png", "dot")


def work(steps: int) -> Graph:
    """One node that works."""
    with Graph() as graph:
        named("work", Work)(steps)
    return replace(graph, outputs={"out": Link("work")})


def test_events_come_in_order_and_then_the_result(engine: Engine) -> None:
    run = engine.submit(work(2))
    names = [event.plain()["event"] for event in run]
    assert names == [
        "run_started",
        "node_started",
        "node_progress",
        "node_progress",
        "node_finished",
        "output",
        "run_finished",
    ]
    assert run.result().outputs == {"out": 2} and run.done


def test_events_can_be_awaited(engine: Engine) -> None:
    async def heard() -> list[str]:
        return [event.plain()["event"] async for event in engine.submit(work(1))]

    assert asyncio.run(heard())[-1] == "run_finished"


def test_a_submission_says_how_far_it_is(engine: Engine) -> None:
    run = engine.submit(work(10_000))
    assert "running" in repr(run)
    run.cancel()
    run.result(timeout=20)
    assert "cancelled" in repr(run)
    wrong = engine.submit(Graph())
    with pytest.raises(GraphError):
        wrong.result()
    assert "GraphError" in repr(wrong)


def test_a_run_can_be_cancelled(engine: Engine) -> None:
    run = engine.submit(work(10_000))
    with pytest.raises(TimeoutError):
        run.result(timeout=0.05)
    run.cancel()
    assert run.result(timeout=20).status == "cancelled"


def test_problems_come_with_the_result(engine: Engine) -> None:
    run = engine.submit(Graph())
    assert list(run) == []
    with pytest.raises(GraphError) as caught:
        run.result()
    assert [problem.code for problem in caught.value.problems] == ["nothing-to-run"]


def test_several_go_on_at_once(engine: Engine) -> None:
    runs = [engine.submit(work(steps)) for steps in range(3, 9)]
    assert [run.result(timeout=20).outputs["out"] for run in runs] == [*range(3, 9)]


def test_a_submission_can_be_awaited(engine: Engine) -> None:
    async def found() -> int:
        result = await engine.submit(work(1))
        return int(result.outputs["out"])

    assert asyncio.run(found()) == 1


def test_a_wait_that_is_cancelled_leaves_the_run_alone(engine: Engine) -> None:
    async def waited() -> object:
        run = engine.submit(work(20))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(run, 0.02)
        return (await run).outputs["out"]

    assert asyncio.run(waited()) == 20


def test_many_runs_are_listened_to_in_one_event_loop(engine: Engine) -> None:
    """More than the default executor of an event loop has threads; the last one ends long before the others."""

    async def listen() -> str:
        slow = [engine.submit(work(10_000)) for _ in range(40)]
        heard = [asyncio.create_task(last_event(run)) for run in slow]
        await asyncio.sleep(0.1)
        name = await asyncio.wait_for(last_event(engine.submit(work(1))), 20)
        for run in slow:
            run.cancel()
        assert {await one for one in heard} == {"run_finished"}
        return name

    assert asyncio.run(listen()) == "run_finished"


async def last_event(run: Submission) -> str:
    """The name of a run's last event."""
    names = [str(event.plain()["event"]) async for event in run]
    return names[-1]


def test_a_listener_hears_what_the_submission_gives(engine: Engine) -> None:
    heard: list[Event] = []
    run = engine.submit(work(1), listener=heard.append)
    assert [*run] == heard and heard


def test_output_and_metadata_are_arguments_of_a_run(engine: Engine, tmp_path: Path) -> None:
    with Graph() as graph:
        named("dot", Dot)(1)
    runs = [engine.submit(graph, output=tmp_path / name, metadata=name == "one") for name in ("one", "two")]
    paths = [run.result(20).paths[0] for run in runs]
    assert [path.parent.name for path in paths] == ["one", "two"]
    assert [carried(path) is not None for path in paths] == [True, False]


def test_files_that_runs_deliver_at_once_have_numbers_of_their_own(engine: Engine) -> None:
    def painted(level: int) -> Graph:
        with Graph() as graph:
            named("dot", Dot)(level)
        return graph

    runs = [engine.submit(painted(level)) for level in (1, 2, 3, 4) * 2]
    paths = [run.result(20).paths[0] for run in runs]
    assert paths[:4] == paths[4:] and {path.name for path in paths} == {f"dot_000{n}.png" for n in (1, 2, 3, 4)}


ENDS = """
import sys, time
from weft.engine import INJECTED, Context, Engine, Graph, Link, node
@node
def Steps(count: int, context: Context = INJECTED) -> int:
    for step in range(count):
        time.sleep(0.01)
        context.progress(step + 1, count)
    return count
@node(lane="io")
def Reads(number: int) -> int:
    time.sleep(0.2)
    return number
with Graph() as graph:
    for number in range(20):
        graph.output(f"read{number}", Reads(number))
    graph.output("steps", Steps(100_000))
run = Engine(store=sys.argv[1], device="cpu").submit(graph)
next(event for event in run if event.plain()["event"] == "node_progress")
print("leaving")
"""


def test_a_process_that_ends_while_a_submission_runs_ends_cleanly(tmp_path: Path) -> None:
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", ENDS, str(tmp_path / "store")], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "leaving\n", "")
    assert time.monotonic() - started < AT_EXIT
    store = DiskStore(tmp_path / "store")
    assert not store.verify() and not [*store.root.glob("*/*/.*")]


def test_each_iteration_gives_all_events(engine: Engine) -> None:
    async def heard(run: Submission) -> list[Event]:
        return [event async for event in run]

    run = engine.submit(work(10_000))
    run.cancel()
    run.result(timeout=20)
    first = [*run]
    assert first and [*run] == first and asyncio.run(heard(run)) == first


async def polled(events: AsyncIterator[Event], seconds: float) -> list[Event]:
    """All events of an iterator, with a wait that is cancelled again and again."""
    found: list[Event] = []
    while True:
        try:
            found.append(await asyncio.wait_for(anext(events), seconds))
        except TimeoutError:
            continue
        except StopAsyncIteration:
            return found


@pytest.mark.parametrize("seconds", [0.0001, 0.003, 0.01, 0.011, 0.02])
def test_a_wait_for_an_event_that_is_cancelled_loses_none(engine: Engine, seconds: float) -> None:
    async def heard() -> list[Event]:
        return await asyncio.wait_for(polled(aiter(run), seconds), 20)

    run = engine.submit(work(20))
    assert asyncio.run(heard()) == [*run] and len(run._wake) == 0


def test_listeners_that_leave_take_nothing_from_those_that_stay(engine: Engine) -> None:
    async def leaves(run: Submission) -> None:
        async for event in run:
            if event.plain()["event"] == "node_progress":
                await asyncio.sleep(60)

    async def listened(run: Submission) -> list[Event]:
        return [event async for event in run]

    async def heard() -> list[list[Event]]:
        run = engine.submit(work(20))
        gone = [asyncio.create_task(leaves(run)) for _ in range(3)]
        stay = [asyncio.create_task(listened(run)) for _ in range(3)]
        stay.append(asyncio.create_task(polled(aiter(run), 0.005)))
        await asyncio.sleep(0.05)
        for task in gone:
            task.cancel()
        found = [await asyncio.wait_for(task, 20) for task in stay]
        return [*found, [*run.listen()]]

    first, *others = asyncio.run(heard())
    assert first[-1].plain()["event"] == "run_finished" and others == [first] * 4


def test_two_waits_on_one_iterator_share_its_events(engine: Engine) -> None:
    async def heard(run: Submission) -> list[list[Event]]:
        events = aiter(run)
        return [*await asyncio.wait_for(asyncio.gather(polled(events, 1), polled(events, 1)), 20)]

    run = engine.submit(work(10))
    one, two = asyncio.run(heard(run))
    assert sorted([*map(repr, one), *map(repr, two)]) == sorted(map(repr, run))


def test_an_event_loop_ends_though_a_run_that_it_listened_to_goes_on(engine: Engine) -> None:
    async def leave() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(last_event(run), 0.05)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(run, 0.05)

    run = engine.submit(work(10_000))
    started = time.monotonic()
    asyncio.run(leave())
    assert time.monotonic() - started < 5 and not run.done
    run.cancel()
    assert [*run][-1].plain()["event"] == "run_finished"


def test_progress_of_a_thread_that_a_node_left_behind_is_no_event_of_the_run(engine: Engine) -> None:
    left: list[Context] = []

    @node
    def Leaves(number: int, *, context: Context = INJECTED) -> int:
        """Leave the context to somebody else."""
        left.append(context)
        return number

    with Graph() as graph:
        graph.output("out", Leaves(1))
    heard: list[Event] = []
    run = engine.submit(graph, listener=heard.append)
    events = [*run]
    left[0].progress(1, 2)
    assert [*run] == events == heard and run.result(20).status == "done"


@pytest.mark.parametrize("kind", [StopIteration, asyncio.CancelledError])
def test_what_a_listener_raises_reaches_who_awaits(kind: type[BaseException], engine: Engine) -> None:
    def listener(event: Event) -> None:
        raise kind

    async def awaited() -> None:
        await asyncio.wait_for(engine.submit(work(1), listener=listener), 20)

    with pytest.raises(RuntimeError) as caught:
        asyncio.run(awaited())
    assert isinstance(caught.value.__cause__, kind)


def test_an_iteration_that_is_broken_off_is_taken_up_by_the_next(engine: Engine) -> None:
    run = engine.submit(work(20))
    seen: list[Event] = []

    async def listen() -> None:
        async for event in run:
            seen.append(event)

    async def in_slices() -> None:
        for _ in range(2_000):
            with suppress(asyncio.TimeoutError):
                return await asyncio.wait_for(listen(), 0.005)
        raise AssertionError("it never ended")

    asyncio.run(in_slices())
    assert seen == [*run.listen()] == [*run]
    again: list[Event] = []
    while len(again) < len(seen):
        for event in run:
            again.append(event)
            if len(again) % 5 == 0:
                break
    assert again == seen and [*run.listen(3)] == seen[3:]
