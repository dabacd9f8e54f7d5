"""Items that run out of memory: once more with what spares it, or failed at once."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.engine.farm.conftest import GRAPH, NODES, Place
from tests.engine.farm.merge.test_batching import TOGETHER
from weft.engine import GraphError
from weft.engine.farm.launchers.chunk import run_chunk
from weft.engine.farm.launchers.tasks import read_tasks
from weft.engine.farm.submit import submit
from weft.engine.farm.work.ledger import Entry, Ledger
from weft.engine.farm.work.ledger_file import ledger_path
from weft.engine.farm.work.publishing import published
from weft.engine.farm.work.worker import Worker

DECODE = '''

@node
def Decode(level: int, tile: int = 0) -> int:
    """The level; an odd one in one piece is too much."""
    if level % 2 and not tile:
        raise MemoryError("out of memory")
    return level
'''


@pytest.fixture
def hungry(place: Place) -> Place:
    """A place whose graph decodes: odd levels take more memory than there is, unless in tiles."""
    (place.folder / "nodes.py").write_text(NODES + TOGETHER + DECODE)
    graph = json.loads(json.dumps(GRAPH))
    graph["nodes"]["decode"] = {"type": "Decode", "inputs": {"level": {"link": "sample"}}}
    graph["nodes"]["paint"]["inputs"]["level"] = {"link": "decode"}
    (place.folder / "graph.json").write_text(json.dumps(graph))
    return place


def worked(place: Place, **parts: Any) -> list[Entry]:
    """The items of a job over four seeds, after a worker was at it."""
    submit(place.job({"seed": {"count": 4}}, name="{seed}", **parts), place.out, place.setup)
    Worker(place.out).work()
    ledger = Ledger(ledger_path(place.out))
    entries = ledger.entries()
    ledger.close()
    return entries


def test_an_item_is_run_once_more_with_what_spares_memory(hungry: Place) -> None:
    spare = {"decode.tile": 256}
    entries = worked(hungry, on_out_of_memory=spare)
    assert [(one.state, one.attempt, one.charge) for one in entries] == [("done", 1, 0)] * 4
    sidecars = [*published(hungry.out)]
    assert [one.get("on_out_of_memory") for one in sidecars] in ([None, spare, None, spare], [spare, None, spare, None])
    spared = next(one for one in sidecars if "on_out_of_memory" in one)
    assert spared["graph"]["nodes"]["decode"]["inputs"]["tile"] == 256
    assert {one["id"] for one in sidecars} == {one.id for one in entries}


def test_an_item_of_a_batch_is_run_by_itself_where_memory_runs_out(hungry: Place) -> None:
    entries = worked(hungry, batch=4, on_out_of_memory={"decode.tile": 256})
    assert [(one.state, one.attempt) for one in entries] == [("done", 1)] * 4
    spared = {"on_out_of_memory" in one: {*one["graph"]["nodes"]} for one in published(hungry.out)}
    assert spared[True] == {"encode", "sample", "decode", "paint"} and len(spared[False]) > 4


@pytest.mark.parametrize(
    ("parts", "named"),
    [({}, "on_out_of_memory"), ({"on_out_of_memory": {"decode.tile": 0}}, "decode.tile")],
)
def test_an_item_that_nothing_helps_fails_at_once_and_says_so(hungry: Place, parts: Any, named: str) -> None:
    entries = worked(hungry, **parts)
    failed = [one for one in entries if one.state == "failed"]
    assert len(failed) == 2 and {one.attempt for one in entries} == {1}
    assert all("MemoryError" in one.error and named in one.error for one in failed)


def test_a_chunk_without_a_ledger_does_the_same(hungry: Place) -> None:
    job = hungry.job({"seed": {"count": 4}}, on_out_of_memory={"decode.tile": 256})
    submit(job, hungry.out, hungry.setup)
    assert [one.state for one in run_chunk(read_tasks(hungry.out), range(4))] == ["done"] * 4


@pytest.mark.parametrize(
    ("target", "value", "code"),
    [
        ("decod.tile", 1, "unknown-target"),
        ("decode.tyle", 1, "unknown-input"),
        ("decode.tile", "a", "wrong-type"),
    ],
)
def test_what_cannot_be_set_is_refused_at_submit(hungry: Place, target: str, value: object, code: str) -> None:
    with pytest.raises(GraphError) as refused:
        submit(hungry.job({"seed": [1]}, on_out_of_memory={target: value}), hungry.out, hungry.setup)
    assert [problem.code for problem in refused.value.problems] == [code]
