"""No thread of OpenMP is left of a thread that is done: idle ones slow down those that compute."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

from weft.engine import Engine, Graph, node
from weft.engine.running.file_threads import FileThreads
from weft.engine.weights.openmp_team import dismiss_team

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="torch comes with another OpenMP")

LARGE = 1_000_000
"""Numbers in a tensor that operations divide among threads."""


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)
    dismiss_team()


def compute() -> float:
    torch.set_num_threads(2)  # it counts for the thread that says so
    return float(torch.ones(LARGE).exp().sum())


@node
def Exponential(number: float = 1.0) -> float:
    """A computation in several threads, in the thread of the run."""
    return compute() * number


@node(lane="gpu")
def OnDevice(number: float = 1.0) -> float:
    """The same in a turn on the device."""
    return compute() * number


def threads_left(work: Callable[[], Any], want: int) -> int:
    """How many more threads the process has after some work than before; one that ends takes a moment until it has."""
    tasks, end = Path("/proc/self/task"), time.monotonic() + 5.0
    before = len(list(tasks.iterdir()))
    work()
    while (left := len(list(tasks.iterdir())) - before) != want and time.monotonic() < end:
        time.sleep(0.01)
    return left


def test_a_team_stays_until_it_is_dismissed() -> None:
    dismiss_team()
    assert threads_left(compute, 1) == 1
    assert threads_left(dismiss_team, -1) == -1
    dismiss_team()
    assert threads_left(compute, 1) == 1


def test_a_dismissed_team_keeps_its_size() -> None:
    compute()
    dismiss_team()
    assert torch.get_num_threads() == 2


def graph_of(type: Any) -> Graph:
    with Graph() as graph:
        graph.output("number", type())
    return graph


@pytest.mark.parametrize("type", [Exponential, OnDevice])
def test_a_run_leaves_no_team(type: Any, tmp_path: Path) -> None:
    graph = graph_of(type)
    with Engine(store=None, device="cpu", output=tmp_path) as engine:
        dismiss_team()
        with ThreadPoolExecutor(1) as kept:
            kept.submit(int).result()
            assert threads_left(lambda: kept.submit(engine.run, graph).result(), 0) == 0


def test_threads_of_files_leave_no_team() -> None:
    threads = FileThreads[float](1)
    threads.start(lambda: 0.0).result()
    try:
        assert threads_left(lambda: threads.start(compute).result(), 0) == 0
    finally:
        threads.close()


def test_who_submits_leaves_no_team(tmp_path: Path) -> None:
    graph = graph_of(Exponential)
    with Engine(store=None, device="cpu", output=tmp_path) as engine:
        dismiss_team()
        assert threads_left(lambda: (compute(), engine.submit(graph).result()), 0) == 0
