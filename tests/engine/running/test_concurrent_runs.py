"""Runs at once: turns on the device, fairness, results that are computed once, and no deadlock."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from weft.engine import INJECTED, Artifact, Context, Engine, Graph, InputError, Submission, node
from weft.engine.store.memory import MemoryStore

LONG = 60.0
"""Seconds after which a run counts as stuck."""


class Use:
    """How many nodes use the device at once, and which did in order."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.now = self.most = 0
        self.order: list[str] = []

    @contextmanager
    def using(self, name: str) -> Iterator[None]:
        """Count a node that uses the device while the block runs."""
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
            self.order.append(name)
        try:
            yield
        finally:
            with self.lock:
                self.now -= 1


USE = Use()
SEEN: list[int] = []
ENGINES: list[Engine] = []


@pytest.fixture(autouse=True)
def fresh() -> None:
    """Each test counts for itself."""
    USE.reset()
    SEEN.clear()
    ENGINES.clear()


@node(lane="gpu")
def OnDevice(number: int, name: str = "", seconds: float = 0.0, fails: bool = False) -> int:
    """Use the device for a while."""
    with USE.using(name):
        time.sleep(seconds)
    if fails:
        raise InputError("as it was asked to")
    return number + 1


@node
def LooksFirst(number: int) -> int:
    """Note how many nodes have used the device by now."""
    SEEN.append(len(USE.order))
    return number


@node
def Plus(number: int, other: int = 1) -> int:
    """Add, on the CPU."""
    return number + other


@node(lane="io")
def Reads(number: int) -> int:
    """Read nothing, in a thread."""
    time.sleep(0.0003)
    return number


@node(lane="io")
def Writes(number: int) -> Artifact:
    """A sink."""
    return Artifact(str(number).encode(), "application/json", "number")


@node(lane="gpu")
def Nests(number: int, context: Context = INJECTED) -> int:
    """Run a graph and a submission within its own turn, in which it uses the device itself."""
    with Graph() as graph:
        graph.output("out", OnDevice(Plus(Reads(number)), "nested"))
    engine = ENGINES[-1]
    context.progress(1, 2)
    found = int(engine.run(graph).outputs["out"]) + int(engine.submit(graph).result(LONG).outputs["out"])
    return found + OnDevice(number)


def chain(length: int, name: str, seconds: float, start: int = 0) -> Graph:
    """So many nodes on the device, one after another."""
    with Graph() as graph:
        number: Any = start
        for _ in range(length):
            number = OnDevice(number, name, seconds)
        graph.output("out", number)
    return graph


@pytest.mark.parametrize("count", [2, 4, 8])
def test_nodes_on_one_device_never_overlap(count: int, engine: Engine, storeless: Engine) -> None:
    runs = [
        one.submit(chain(5, str(number), 0.002, start=1000 * number))
        for number in range(count)
        for one in (engine, storeless)
    ]
    assert [run.result(LONG).outputs["out"] for run in runs[::2]] == [1000 * number + 5 for number in range(count)]
    assert all(run.result(LONG).status == "done" for run in runs)
    assert USE.most == 1 and len(USE.order) == 10 * count


def test_a_light_run_waits_for_one_node_of_a_long_one(storeless: Engine) -> None:
    long = storeless.submit(chain(40, "long", 0.01))
    while len(USE.order) < 3:
        time.sleep(0.001)
    with Graph() as graph:
        graph.output("out", OnDevice(LooksFirst(1), "light"))
    storeless.run(graph)
    assert USE.order.index("light") - SEEN[0] <= 1 and not long.done
    long.cancel()
    assert long.result(LONG).status == "cancelled"


@pytest.mark.parametrize("stored", [True, False])
def test_runs_that_want_one_result_compute_it_once(stored: bool, tmp_path: Path) -> None:
    engine = Engine(store=MemoryStore() if stored else None, device="cpu", output=tmp_path)
    runs = [engine.submit(chain(3, "same", 0.02)) for _ in range(4)]
    assert [run.result(LONG).outputs["out"] for run in runs] == [3] * 4
    assert len(USE.order) == (3 if stored else 12)


def test_where_the_run_that_computes_fails_the_others_compute_themselves(engine: Engine) -> None:
    with Graph() as graph:
        graph.output("out", OnDevice(1, "bad", 0.02, fails=True))
    runs = [engine.submit(graph) for _ in range(3)]
    assert [run.result(LONG).status for run in runs] == ["failed"] * 3 and len(USE.order) == 3


def test_where_the_run_that_computes_is_cancelled_another_one_goes_on(engine: Engine) -> None:
    runs = [engine.submit(chain(10, "same", 0.02)) for _ in range(2)]
    while not USE.order:
        time.sleep(0.001)
    runs[0].cancel()
    assert runs[0].result(LONG).status == "cancelled" and runs[1].result(LONG).outputs["out"] == 10


def test_a_run_that_waits_for_the_device_can_be_cancelled(storeless: Engine) -> None:
    holder = storeless.submit(chain(1, "holder", 1.0))
    while not USE.order:
        time.sleep(0.001)
    waiting = storeless.submit(chain(1, "waiting", 0.0))
    waiting.cancel()
    assert waiting.result(0.9).status == "cancelled" and holder.result(LONG).status == "done"


def test_a_node_may_run_graphs_on_its_engine_while_others_wait(engine: Engine) -> None:
    ENGINES.append(engine)
    runs: list[Submission] = []
    for number in range(4):
        with Graph() as graph:
            graph.output("out", Nests(number))
        runs.append(engine.submit(graph))
    assert [run.result(LONG).outputs["out"] for run in runs] == [nested(number) for number in range(4)]
    assert USE.most == 1


def anything(chance: random.Random) -> tuple[Graph, int]:
    """A small graph of nodes of every lane, some of which fail or nest, and its output where nothing fails."""
    with Graph() as graph:
        number: Any = Plus(0, 0)
        links, values = [number], [0]
        for _ in range(chance.randint(1, 6)):
            at, kind = chance.randrange(len(links)), chance.randrange(8)
            number, known = links[at], values[at]
            if kind < 3:
                links.append(OnDevice(number, "", chance.choice((0.0, 0.0005)), chance.random() < 0.05))
                values.append(known + 1)
            elif kind < 5:
                links.append(Plus(number, links[-1]))
                values.append(known + values[-1])
            elif kind < 7:
                links.append(Reads(number))
                values.append(known)
            else:
                links.append(Nests(number))
                values.append(nested(known))
        Writes(links[-1])
        graph.output("out", links[-1])
    return graph, values[-1]


def nested(number: int) -> int:
    """What `Nests` gives."""
    return 2 * (number + 2) + number + 1


def test_two_hundred_rounds_of_anything_at_once_end(tmp_path: Path) -> None:
    chance = random.Random(0)
    engines = [Engine(store=tmp_path / "store", device="cpu", output=tmp_path / name, history=False) for name in "ab"]
    engines.append(Engine(store=None, device="cpu", output=tmp_path / "c"))
    ENGINES.append(engines[0])
    statuses: Counter[str] = Counter()
    for _ in range(200):
        chosen = chance.choices([anything(chance), anything(chance)], k=chance.randint(2, 5))
        runs = [chance.choice(engines).submit(graph) for graph, _ in chosen]
        if chance.random() < 0.2:
            runs[-1].cancel()  # the one that had the least time to end
        for run, (_, value) in zip(runs, chosen, strict=True):
            result = run.result(LONG)
            statuses[result.status] += 1
            assert result.status != "done" or result.outputs == {"out": value}
    assert USE.most == 1 and statuses["done"] > 300 and statuses["failed"] and statuses["cancelled"]
