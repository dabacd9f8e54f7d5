"""What runs at the same time, and in which order: files next to the rest, few swaps of weights, deliveries in order."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

from tests.refusals import refused
from weft.engine import INJECTED, Artifact, Context, Engine, Graph, Link, Loading, Recipe, node, value
from weft.engine.events import ArtifactWritten, Event, NodeFinished, NodeStarted

MET = threading.Barrier(2, timeout=20)
LOADED: list[str] = []


@node(lane="io")
def Reads(name: str) -> str:
    """A text; comes back once `Meets` runs at the same time."""
    MET.wait()
    return name


@node
def Meets(number: int) -> int:
    """A number; comes back once `Reads` runs at the same time."""
    MET.wait()
    return number


@node
def Both(text: str, number: int) -> str:
    """Both in one text."""
    return f"{text} {number}"


@node(lane="io")
def Saves(text: str, wait_for: int = 0) -> Artifact:
    """A sink; the first one comes back after the second."""
    if wait_for:
        MET.wait()
    return Artifact(text.encode(), "application/json", "text")


PACKED = threading.Event()


@node(lane="io")
def Packs(number: int) -> Artifact:
    """A sink; in a thread next to the run it ends once the run itself has packed one."""
    if threading.current_thread() is threading.main_thread():
        PACKED.set()
    assert PACKED.wait(20)
    return Artifact(str(number).encode(), "application/json", "text")


@node(lane="io")
def Opens(number: int) -> int:
    """What a file has."""
    return number


@node(lane="io")
def PacksSlowly(number: int) -> Artifact:
    """A sink that is not done when the next file could be read."""
    time.sleep(0.05)
    return Artifact(str(number).encode(), "application/json", "text")


@value
@dataclass(frozen=True)
class Sheet(Recipe[torch.nn.Module]):
    """A recipe for a layer of 40,000 bytes that says when it is loaded."""

    name: str

    def load(self, loading: Loading) -> torch.nn.Module:
        """Build it."""
        LOADED.append(self.name)
        return torch.nn.Linear(100, 100, bias=False, device=loading.device)


@node
def FindSheet(name: str) -> Sheet:
    """A recipe."""
    return Sheet(name)


@node(lane="gpu")
def Through(sheet: Sheet, number: int, context: Context = INJECTED) -> int:
    """The next number, with weights that are loaded."""
    with context.weights(sheet):
        return number + 1


@value
@dataclass(frozen=True, eq=False)
class Row:
    """Numbers."""

    numbers: torch.Tensor


@node
def Zeros(count: int) -> Row:
    """As many zeros."""
    return Row(torch.zeros(count))


@node
def Spoils(row: Row) -> int:
    """Changes what it is given."""
    row.numbers.add_(1)
    return int(row.numbers.sum())


def test_reading_files_runs_next_to_the_rest(engine: Engine) -> None:
    with Graph() as graph:
        Both(Reads("a"), Meets(1))
    assert engine.run(replace(graph, outputs={"out": Link("both")})).outputs == {"out": "a 1"}


def test_deliveries_keep_the_order_of_the_plan(engine: Engine) -> None:
    with Graph() as graph:
        Saves("first", 1)
        Saves("second", 0)
        Saves(Both("third", Meets(1)), 0)
    result = engine.run(graph)
    assert [path.read_text() for path in result.paths] == ["first", "second", "third 1"]


def test_files_that_are_packed_slowly_do_not_pile_up(engine: Engine) -> None:
    PACKED.clear()
    with Graph() as graph:
        for number in range(8):
            Packs(number)
    assert [path.read_text() for path in engine.run(graph).paths] == [*map(str, range(8))]


def test_the_first_file_is_written_before_the_third_is_read(engine: Engine) -> None:
    heard: list[str] = []

    def listener(event: Event) -> None:
        if isinstance(event, ArtifactWritten) or (isinstance(event, NodeStarted) and event.type == "Opens"):
            heard.append("written" if isinstance(event, ArtifactWritten) else "read")

    with Graph() as graph:
        for number in range(4):
            PacksSlowly(Opens(number))
    engine.run(graph, listener=listener)
    assert heard[:3] == ["read", "read", "written"]


def test_events_come_one_at_a_time_and_all_of_them(engine: Engine) -> None:
    inside = threading.Lock()
    heard: list[str] = []

    def listener(event: Event) -> None:
        assert inside.acquire(blocking=False)
        if isinstance(event, NodeFinished):
            heard.append(event.node)
        inside.release()

    with Graph() as graph:
        for index in range(20):
            Saves(f"{index}")
    engine.run(graph, listener=listener)
    assert len(heard) == 20 and len({*heard}) == 20


@pytest.mark.parametrize("budget", [40_000, 80_000])
def test_weights_that_do_not_all_fit_are_loaded_once(budget: int, tmp_path: Path) -> None:
    LOADED.clear()
    with Graph() as graph:
        sheets = [FindSheet(name) for name in "abc"]
        for index in range(12):
            Through(sheets[index % 3], index)
    outputs = {f"out{index}": Link(f"through_{index}" if index > 1 else "through") for index in range(1, 13)}
    with Engine(store=None, device="cpu", weights=budget) as engine:
        engine.run(replace(graph, outputs=outputs))
    assert sorted(LOADED) == ["a", "b", "c"]


def test_chains_over_the_same_weights_are_not_interleaved(tmp_path: Path) -> None:
    LOADED.clear()
    with Graph() as graph:
        sheets = [FindSheet(name) for name in "abc"]
        for index in range(4):
            number = index
            for sheet in sheets:
                number = Through(sheet, number)
    outputs = {f"out{index}": Link(f"through_{index}") for index in (3, 6, 9, 12)}
    with Engine(store=None, device="cpu", weights=40_000) as engine:
        assert engine.run(replace(graph, outputs=outputs)).outputs["out12"] == 6
    assert LOADED == ["a", "b", "c"]


def test_values_are_freed_when_nothing_takes_them_any_more(storeless: Engine) -> None:
    """Each branch of a wide graph ends before the next one begins."""
    heard: list[str] = []
    with Graph() as graph:
        for index in range(3):
            Both(Both("a", index), index)
    outputs = {f"o{index}": Link(name) for index, name in enumerate(("both_2", "both_4", "both_6"))}
    storeless.run(
        replace(graph, outputs=outputs),
        listener=lambda event: heard.append(event.node) if isinstance(event, NodeFinished) else None,
    )
    assert heard == ["both", "both_2", "both_3", "both_4", "both_5", "both_6"]


@node(lane="io")
def Fetches(number: int) -> int:
    """A number, as if read from a file."""
    time.sleep(0.005)
    return number


@node
def Delivers(numbers: list[int]) -> Artifact:
    """A sink."""
    time.sleep(0.005)
    return Artifact(str(numbers).encode(), "application/json", "text")


def order(graph: Graph, engine: Engine) -> list[str]:
    """The files that are read and the artifacts that are there, in their order."""
    heard: list[str] = []

    def listener(event: Event) -> None:
        if isinstance(event, NodeStarted) and event.type == "Fetches":
            heard.append("read")
        elif isinstance(event, ArtifactWritten):
            heard.append("written")

    engine.run(graph, listener=listener)
    return heard


@pytest.mark.parametrize("kept", [False, True])
def test_files_are_read_one_ahead_of_the_branches_that_need_them(kept: bool, tmp_path: Path) -> None:
    with Graph() as graph:
        for number in range(12):
            Delivers([Fetches(number)])
    with Engine(store=tmp_path / "store" if kept else None, device="cpu", output=tmp_path) as engine:
        heard = order(graph, engine)
    assert heard.count("written") == 12 and heard.index("written") <= 2
    ahead = [heard[:place].count("read") - heard[:place].count("written") for place in range(len(heard))]
    assert max(ahead) == 2


def test_files_that_one_node_needs_are_all_read(storeless: Engine, tmp_path: Path) -> None:
    with Graph() as graph:
        Delivers([Fetches(number) for number in range(5)])
    assert storeless.run(graph, output=tmp_path).paths[0].read_text() == "[0, 1, 2, 3, 4]"


def test_a_node_that_changes_its_input_is_caught(tmp_path: Path) -> None:
    with Graph() as graph:
        Spoils(Zeros(3))
    graph = replace(graph, outputs={"out": Link("spoils")})
    with (
        Engine(store=None, device="cpu", guarded=True) as engine,
        refused("changed-input", "row", "zeros.row", node="spoils"),
    ):
        engine.run(graph)
