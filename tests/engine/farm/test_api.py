"""Jobs from Python."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.engine.farm.conftest import Place
from weft.engine import Artifact, Graph, GraphError, node
from weft.engine.farm import Farm, Running


@node
def Blank(level: int) -> Artifact:
    """Nothing to see."""
    return Artifact(b"", "image/png", f"{level}")


def farm(place: Place) -> Farm:
    """A farm with a worker."""
    return Farm(place.out, setup=place.setup)


def test_items_come_as_they_are_published(place: Place) -> None:
    graph = Graph.load(place.folder / "graph.json")
    with farm(place).submit(graph, {"prompt": ["a", "b"], "seed": range(3)}) as running:
        found = [(entry.number, json.loads(sidecar.read_bytes())["number"]) for entry, sidecar in running]
    assert sorted(found) == [(number, number) for number in range(6)]
    assert running.result().state == "finished"


def test_items_come_in_a_loop_of_events_whose_waits_may_be_cancelled(place: Place) -> None:
    async def leave(running: Running) -> None:
        await asyncio.wait_for(anext(aiter(running)), 0.05)

    async def numbers(running: Running) -> list[int]:
        items, found = aiter(running), list[int]()
        while True:
            try:
                entry, _ = await asyncio.wait_for(anext(items), 0.03)
                found.append(entry.number)
            except TimeoutError:
                continue
            except StopAsyncIteration:
                return sorted(found)

    running = farm(place).submit(Graph.load(place.folder / "graph.json"), {"seed": range(3)})
    with pytest.raises(TimeoutError):
        asyncio.run(leave(running))
    assert not running.over and asyncio.run(numbers(running)) == [0, 1, 2]


def test_a_wrong_part_is_a_problem(place: Place) -> None:
    with pytest.raises(GraphError) as caught:
        farm(place).submit(Graph.load(place.folder / "graph.json"), {"seed": [1]}, retrys=3)
    assert [problem.code for problem in caught.value.problems] == ["unknown-key"]


def test_node_types_of_this_process_are_refused(place: Place) -> None:
    with Graph() as graph:
        Blank(1)
    with pytest.raises(GraphError) as caught:
        farm(place).submit(graph, {"blank.level": [1, 2]})
    assert [problem.code for problem in caught.value.problems] == ["unknown-node-type"]
