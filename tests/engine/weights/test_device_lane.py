"""Turns on a device: one at a time, first come first served, within each other where a node runs something itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextvars import copy_context
from functools import partial

import pytest

from weft.engine import Cancelled, InputError
from weft.engine.weights.device_lane import DeviceLane, lane_of

LONG = 20.0
"""Seconds after which a test gives up."""


def in_thread(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def wait_until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + LONG
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.001)


def waiting(lane: DeviceLane, count: int) -> bool:
    """Whether so many threads wait for their turn."""
    return len(lane._tickets) == count + 1


def test_a_device_has_one_lane_in_a_process() -> None:
    assert lane_of("cpu") is lane_of("cpu") is not lane_of("cuda:0")


def test_turns_never_overlap() -> None:
    lane, inside, most = DeviceLane("cpu"), [0], [0]

    def work() -> None:
        for _ in range(50):
            with lane.turn():
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                time.sleep(0)
                inside[0] -= 1

    threads = [in_thread(work) for _ in range(8)]
    for thread in threads:
        thread.join(LONG)
    assert most == [1] and inside == [0]


def test_a_lane_is_not_busy_for_who_holds_it() -> None:
    lane, seen = DeviceLane("cpu"), list[bool]()
    assert not lane.busy
    with lane.turn():
        assert not lane.busy
        in_thread(lambda: seen.append(lane.busy)).join(LONG)
        with lane.turn():
            assert not lane.busy
    assert seen == [True] and not lane.busy


def test_first_come_first_served() -> None:
    lane, order = DeviceLane("cpu"), list[int]()

    def work(number: int) -> None:
        with lane.turn():
            order.append(number)

    with lane.turn():
        threads = []
        for number in range(5):
            threads.append(in_thread(partial(work, number)))
            wait_until(partial(waiting, lane, number + 1))
    for thread in threads:
        thread.join(LONG)
    assert order == [0, 1, 2, 3, 4]


def test_code_that_holds_a_turn_gets_another_one_within_it() -> None:
    lane = DeviceLane("cpu")
    with lane.turn(), lane.turn(), lane.turn():
        pass
    with lane.turn() as inner:
        thread = in_thread(lambda: use(inner))
        thread.join(LONG)
        assert not thread.is_alive()


def use(lane: DeviceLane) -> None:
    """Take a turn and give it back."""
    with lane.turn():
        pass


def test_threads_started_within_a_turn_take_turns_with_each_other() -> None:
    lane, inside, most = DeviceLane("cpu"), [0], [0]

    def work() -> None:
        for _ in range(20):
            with lane.turn():
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                time.sleep(0)
                inside[0] -= 1

    with lane.turn():
        threads = [in_thread(partial(copy_context().run, work)) for _ in range(4)]
        for thread in threads:
            thread.join(LONG)
    assert most == [1] and not any(thread.is_alive() for thread in threads)


def test_a_turn_that_ends_waits_for_what_it_started_and_what_starts_later_waits_outside() -> None:
    lane, started, go = DeviceLane("cpu"), threading.Event(), threading.Event()
    events = list[str]()

    def work() -> None:
        with lane.turn():
            started.set()
            go.wait(LONG)
            events.append("inner")
        with lane.turn():
            events.append("after")

    with lane.turn():
        thread = in_thread(partial(copy_context().run, work))
        started.wait(LONG)
        threading.Timer(0.05, go.set).start()
    events.append("outer over")
    thread.join(LONG)
    assert events.index("inner") < events.index("outer over") and "after" in events
    use(lane)


def test_a_wait_ends_where_the_run_is_cancelled_and_the_lane_goes_on() -> None:
    lane, asked = DeviceLane("cpu"), threading.Event()
    ended = list[str]()

    def look() -> None:
        if asked.is_set():
            raise Cancelled("asked to stop")

    def work() -> None:
        try:
            with lane.turn(look):
                ended.append("ran")
        except Cancelled:
            ended.append("cancelled")

    with lane.turn():
        thread = in_thread(work)
        asked.set()
        thread.join(LONG)
    assert ended == ["cancelled"]
    use(lane)


def test_a_turn_is_given_back_where_its_block_raises() -> None:
    lane = DeviceLane("cpu")
    with pytest.raises(ValueError, match="no"), lane.turn():
        raise ValueError("no")
    thread = in_thread(lambda: use(lane))
    thread.join(LONG)
    assert not thread.is_alive()


def test_lanes_of_two_devices_are_apart() -> None:
    one, other = DeviceLane("cpu"), DeviceLane("cuda:0")
    with one.turn():
        thread = in_thread(lambda: use(other))
        thread.join(LONG)
        assert not thread.is_alive()


def test_of_two_nodes_that_wait_for_each_others_device_one_fails_and_the_other_goes_on() -> None:
    lanes, met, ended = (DeviceLane("cpu"), DeviceLane("cuda:0")), threading.Barrier(2), list[str]()

    def work(first: DeviceLane, second: DeviceLane) -> None:
        try:
            with first.turn():
                met.wait(LONG)
                with second.turn():
                    ended.append("both")
        except InputError:
            ended.append("failed")

    threads = [in_thread(partial(work, *order)) for order in (lanes, lanes[::-1])]
    for thread in threads:
        thread.join(LONG)
    assert sorted(ended) == ["both", "failed"]
    for lane in lanes:
        use(lane)


def test_a_node_may_wait_for_another_device_that_is_in_use() -> None:
    one, other = DeviceLane("cpu"), DeviceLane("cuda:0")
    with other.turn():
        thread = in_thread(partial(both, one, other))
        wait_until(partial(waiting, other, 1))
    thread.join(LONG)
    assert not thread.is_alive()


def both(first: DeviceLane, second: DeviceLane) -> None:
    """Take a turn on a device within one on another."""
    with first.turn():
        use(second)
