"""Estimates of time: those of other amounts of work, of the first call of a process, and of types of little time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.engine import Engine, Graph, Link, Node, Upstream, Work, Workload, node
from weft.engine.keys import digest
from weft.engine.planning.pace import MOST_TIMINGS, Pace, estimate
from weft.engine.store import PaceNote, Timing
from weft.engine.store.memory import MemoryStore


def took(pixels: float, steps: float, first: bool = False) -> Timing:
    """A call that takes 2 microseconds a pixel, 10 ms a step, and 1.5 s to begin with."""
    return Timing(2e-6 * pixels + 0.01 * steps + 1.5 * first, first, (pixels, steps))


def pace(pixels: float, steps: float, first: bool = False, kind: str = "kind") -> Pace:
    return Pace(digest(kind), digest("type"), (pixels, steps), first)


@pytest.mark.parametrize("wanted", [took(1e5, 3), took(3e6, 40), took(4e5, 25, first=True), took(2e7, 50)])
def test_three_calls_tell_what_others_take(wanted: Timing) -> None:
    known = (took(2e5, 10, first=True), took(1e6, 20), took(3e5, 6))
    assert estimate(known, wanted.amounts, wanted.first) == pytest.approx(wanted.seconds, rel=0.1)


def test_one_call_tells_what_others_take_by_their_first_amount() -> None:
    assert estimate((Timing(3.0, True, (10.0, 7.0)),), (20.0, 7.0), True) == pytest.approx(6.0)


TIMINGS = st.builds(took, st.floats(1, 1e8), st.integers(1, 100), st.booleans())


@given(st.lists(TIMINGS, min_size=1, max_size=16).map(tuple))
def test_estimates_are_never_negative_and_known_calls_are_estimated_well(known: tuple[Timing, ...]) -> None:
    assert all(estimate(known, one.amounts, one.first) >= 0 for one in known)
    assert estimate(known[:1], known[0].amounts, known[0].first) == pytest.approx(known[0].seconds)


def test_a_kind_that_was_never_called_is_estimated_by_others_of_the_type() -> None:
    store = MemoryStore()
    pace(100, 1).remember(store, 2.0)
    other = pace(200, 2, kind="other")
    assert other.estimate(store.recall(other.key, PaceNote)) is None
    assert other.estimate(store.recall(other.loose, PaceNote)) == pytest.approx(4.0)


def test_the_newest_of_each_workload_is_kept_and_of_few_workloads() -> None:
    store = MemoryStore()
    for seconds in (1.0, 1.01, 2.0):
        pace(100, 1).remember(store, seconds)
    assert store.recall(digest("kind"), PaceNote) == PaceNote((Timing(2.0, False, (100, 1)),))
    for number in range(2 * MOST_TIMINGS):
        pace(number, 1).remember(store, 1.0 + number)
    kept = store.recall(digest("kind"), PaceNote)
    assert kept is not None and len(kept.timings) == MOST_TIMINGS and kept.timings[-1].seconds == 2 * MOST_TIMINGS


def by_its_count(upstream: Upstream) -> Workload:
    return Workload((float(upstream.literals["count"]),))


@node(traits=(Work(by_its_count),))
def Laborious(count: int, seed: int = 0) -> int:
    """Work whose time depends on a count."""
    return count + seed


def laborious(count: int, seed: int = 0) -> Graph:
    node = Node("Laborious", {"count": count, "seed": seed})
    return Graph(nodes={"only": node}, outputs={"out": Link("only")}, types={"Laborious": Laborious})  # type: ignore[dict-item]


def test_a_plan_goes_by_the_amounts_of_work_and_not_by_the_last_call() -> None:
    store = MemoryStore()
    with Engine(store=store, device="cpu") as engine:
        step = engine.plan(laborious(3)).steps[0]
        assert step.expected is None and step.pace is not None
        step.pace.started().remember(store, 3.0)
        assert engine.plan(laborious(12, seed=5)).expected == pytest.approx(12.0)


def test_a_node_of_no_noticeable_time_does_not_leave_a_plan_without_an_estimate(engine: Engine) -> None:
    engine.run(laborious(1))
    assert engine.plan(laborious(1, seed=9)).expected is not None
