"""Files and node types that change after a job was submitted: no item is published under an id that is not its own."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.engine.farm.conftest import GRAPH, NODES, Place
from weft.engine.farm.launchers.chunk import run_chunk
from weft.engine.farm.launchers.tasks import read_tasks
from weft.engine.farm.submit import submit
from weft.engine.farm.work.ledger import Entry, Ledger
from weft.engine.farm.work.ledger_file import ledger_path
from weft.engine.farm.work.worker import Worker

READ = '''

from typing import Annotated
from weft.engine import INJECTED, Context, InputFile

@node
def ReadLevel(path: Annotated[str, InputFile()], seconds: float = 0.0, context: Context = INJECTED) -> int:
    """A number out of a file."""
    return int(context.found(path).resolved.files[0].read_text())
'''


@pytest.fixture
def reading(place: Place) -> Place:
    """A place whose graph reads a file."""
    (place.folder / "nodes.py").write_text(NODES + READ)
    graph = json.loads(json.dumps(GRAPH))
    graph["nodes"]["read"] = {"type": "ReadLevel", "inputs": {"path": "a.txt"}}
    graph["nodes"]["sample"]["inputs"]["code"] = {"link": "read"}
    del graph["nodes"]["encode"], graph["parameters"]["prompt"]
    (place.folder / "graph.json").write_text(json.dumps(graph))
    (place.folder / "a.txt").write_text("1")
    return place


def entries(place: Place) -> list[Entry]:
    ledger = Ledger(ledger_path(place.out))
    found = ledger.entries()
    ledger.close()
    return found


def job(place: Place) -> None:
    """Submit a job of two items, each tried once."""
    written = place.job({"seed": {"count": 2}}, name="{seed}_{key:8}", retries=0)
    submit(written, place.out, place.setup)


def change_file(place: Place) -> None:
    (place.folder / "a.txt").write_text("2")


def change_nodes(place: Place) -> None:
    (place.folder / "nodes.py").write_text(NODES + READ.replace(".read_text())", ".read_text()) + 1"))


def change_subgraph(place: Place) -> None:
    graph = json.loads((place.folder / "inner.json").read_text())
    graph["nodes"]["paint"]["inputs"]["name"] = "other"
    (place.folder / "inner.json").write_text(json.dumps(graph))


@pytest.mark.parametrize("change", [change_file, change_nodes])
def test_items_of_files_that_were_changed_are_not_published(change: Any, reading: Place) -> None:
    job(reading)
    change(reading)
    Worker(reading.out).work()
    assert [one.state for one in entries(reading)] == ["failed", "failed"] and not reading.pictures()
    assert [one.state for one in run_chunk(read_tasks(reading.out), [0, 1])] == ["failed", "failed"]
    job(reading)
    Worker(reading.out).work()
    assert [one.state for one in entries(reading)] == ["done", "done"] and len(reading.pictures()) == 2


def test_items_go_on_once_the_file_is_what_it_was(reading: Place) -> None:
    job(reading)
    change_file(reading)
    assert [one.state for one in run_chunk(read_tasks(reading.out), [0])] == ["failed"]
    (reading.folder / "a.txt").write_text("1")
    Worker(reading.out).work()
    assert [one.state for one in entries(reading)] == ["done", "done"]


def test_a_worker_that_is_at_it_runs_the_graph_that_was_submitted_last(reading: Place) -> None:
    job(reading)
    worker = Worker(reading.out)
    graph = json.loads((reading.folder / "graph.json").read_text())
    graph["nodes"]["sample"]["inputs"]["scale"] = 7.0
    (reading.folder / "graph.json").write_text(json.dumps(graph))
    job(reading)
    worker.work()
    ids = {one.id for one in entries(reading)}
    for path in reading.out.glob("*.sidecar.json"):
        sidecar = json.loads(path.read_text())
        assert sidecar["id"] in ids and sidecar["graph"]["nodes"]["sample"]["inputs"]["scale"] == 7.0
    assert len(reading.pictures()) == 2


def test_a_subgraph_that_is_changed_after_it_was_submitted_runs_as_it_was(place: Place) -> None:
    inner = json.loads(json.dumps(GRAPH)) | {"outputs": {}}
    (place.folder / "inner.json").write_text(json.dumps(inner))
    outer = {"weft": 1, "nodes": {"all": {"type": "file:inner.json", "inputs": {"seed": 3, "prompt": "a"}}}}
    (place.folder / "graph.json").write_text(json.dumps(outer))
    submit(place.job({"all.seed": {"count": 1}}, name="a"), place.out, place.setup)
    change_subgraph(place)
    Worker(place.out).work()
    (sidecar,) = [json.loads(path.read_text()) for path in place.out.glob("*.sidecar.json")]
    (held,) = sidecar["graph"]["graphs"].values()
    assert held["nodes"]["paint"]["inputs"].get("name") is None
