"""Batching: items that differ in texts and whole numbers alone are worked together."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from PIL import Image

from tests.engine.farm.conftest import NODES, Place
from weft.engine import Engine, Graph, GraphError, Limits
from weft.engine.cli import call
from weft.engine.farm import Farm, Ledger
from weft.engine.farm.launchers.tasks import read_tasks
from weft.engine.farm.merge.merged import planned
from weft.engine.farm.submit import submit
from weft.engine.farm.work.attempt import ItemRunner
from weft.engine.farm.work.ledger_file import ledger_path
from weft.engine.farm.work.publishing import published
from weft.engine.farm.work.worker import Worker
from weft.engine.graph import document

TOGETHER = """
from weft.engine import batched


def sampled_together(sample, calls):
    if len(calls) > 6:
        raise MemoryError(f"{len(calls)} do not fit")
    return [sample(**call) for call in calls]


SampleBatch = batched(Sample, ("code", "seed"), sampled_together)
"""


@pytest.fixture(autouse=True)
def nodes(place: Place) -> None:
    """Light nodes, whose samplers can be called together, six at a time."""
    (place.folder / "nodes.py").write_text(NODES + TOGETHER)


def worked(place: Place) -> Counter[str]:
    """Work here until nothing is left; the states of the items then."""
    Worker(place.out).work()
    ledger = Ledger(ledger_path(place.out))
    counts = ledger.counts()
    ledger.close()
    return counts


def ran(place: Place) -> Counter[str]:
    """How many nodes ran, by type."""
    types = Counter[str]()
    for sidecar in published(place.out):
        types.update(sidecar["graph"]["nodes"][id]["type"] for id in sidecar["ran"])
    return types


def test_a_batch_is_one_call(place: Place) -> None:
    sweep = {"prompt": list("abcdefg"), "seed": {"count": 9}, "sample.scale": [1.0, 5.0]}
    plan = planned(place.job(sweep, batch=8), place.setup.engine())
    assert dict(plan.executions) == {"Encode": 7, "SampleBatch": 2 * 8, "Choose": 126, "Paint": 126}
    assert len({*plan.ids}) == 126 and {len(batch) for batch in plan.batches} == {8, 7}


def test_batches_are_part_of_the_key(place: Place) -> None:
    engine, sweep = place.setup.engine(), {"seed": {"count": 9}}
    ids = {batch: planned(place.job(sweep, batch=batch), engine).ids for batch in (1, 4, 8)}
    assert ids[1] == planned(place.job(sweep), engine).ids
    assert not {*ids[4][:8]} & {*ids[1]} and not {*ids[4][:8]} & {*ids[8]}
    assert ids[1][8] == ids[4][8] == ids[8][8], "the last stands alone"


def colour(path: Path) -> Any:
    """What a picture of one pixel shows."""
    return Image.open(path).getpixel((0, 0))


def test_pictures_are_those_of_a_job_without_batches(place: Place) -> None:
    sweep, colours = {"prompt": ["a", "b", "c"], "seed": {"count": 5}}, []
    for batch in (1, 4):
        plan = submit(place.job(sweep, batch=batch, name="{prompt}{seed}"), place.out, place.setup)
        assert worked(place) == {"done": 15} and ran(place) <= Counter(plan.executions)
        colours.append({path.name: colour(path) for path in place.out.glob("*.png")})
        place.out.rename(place.folder / f"batch{batch}")
    assert colours[0] == colours[1] and len({*colours[0].values()}) == 15


def test_a_published_graph_is_that_of_its_picture(place: Place) -> None:
    submit(place.job({"prompt": ["a", "b"], "seed": [1, 2]}, batch=4), place.out, place.setup)
    worked(place)
    for sidecar in published(place.out):
        graph = document.read(orjson.dumps({"weft": 1, **sidecar["graph"]}))
        again = Engine(store=None, output=place.folder / "again", nodes=[place.folder / "nodes.py"]).run(graph)
        assert colour(again.paths[0]) == colour(place.out / sidecar["files"][0]["path"])
        assert "SampleBatch" in {node["type"] for node in sidecar["graph"]["nodes"].values()}


def test_what_is_done_runs_nothing_again(place: Place) -> None:
    job = place.job({"prompt": ["a", "b"], "seed": [1, 2, 3]}, batch=4)
    submit(job, place.out, place.setup)
    worked(place)
    shutil.rmtree(place.out / ".farm")
    submit(job, place.out, place.setup)
    assert worked(place) == {"cached": 6}
    shutil.rmtree(place.out)
    submit(job, place.out, place.setup)
    assert worked(place) == {"done": 6} and not ran(place)


@pytest.mark.parametrize("text", ["fail", "memory"])
def test_one_that_fails_takes_no_other_along(place: Place, text: str) -> None:
    submit(place.job({"prompt": ["a", text, "b", "c"]}, batch=4, retries=0), place.out, place.setup)
    assert worked(place) == {"done": 3, "failed": 1}
    ledger = Ledger(ledger_path(place.out))
    assert [one.settings for one in ledger.entries("failed")] == [{"prompt": text}]


def test_a_batch_that_does_not_fit_is_dissolved(place: Place) -> None:
    submit(place.job({"seed": {"count": 7}}, batch=7, retries=0), place.out, place.setup)
    assert worked(place) == {"done": 7}
    assert ran(place)["Sample"] == 7 and ran(place)["SampleBatch"] == 0


def test_an_item_that_kills_its_worker_fails_no_other_item_of_its_batch(place: Place) -> None:
    place.job({"prompt": ["a", "crash", "b"]}, batch=3, retries=0)
    assert place.run() == 1
    ledger = Ledger(ledger_path(place.out))
    assert ledger.counts() == {"done": 2, "failed": 1}
    assert [one.settings for one in ledger.entries("failed")] == [{"prompt": "crash"}]


def test_two_workers_share_no_batch(place: Place) -> None:
    place.job({"seed": {"count": 16}, "sample.seconds": [0.05]}, batch=4)
    assert place.run("--workers", "2") == 0
    workers: dict[str, set[str]] = {}
    ledger = Ledger(ledger_path(place.out))
    for entry in ledger.entries():
        workers.setdefault(entry.shared, set()).add(entry.worker)
    assert len(workers) == 4 and all(len(one) == 1 for one in workers.values())
    assert ran(place)["SampleBatch"] == 4


def test_equal_items_are_in_a_batch_once(place: Place) -> None:
    plan = planned(place.job({"seed": [1, 1, 2, 2], "paint.name": ["x", "y"]}, batch=2), place.setup.engine())
    assert plan.executions["SampleBatch"] == 1 and len({*plan.ids}) == 4


def test_a_graph_without_samplers_has_no_batches(place: Place) -> None:
    (place.folder / "nodes.py").write_text(NODES)
    with pytest.raises(GraphError) as caught:
        planned(place.job({"seed": [1, 2]}, batch=2), place.setup.engine())
    assert [problem.code for problem in caught.value.problems] == ["nothing-to-batch"]


def test_a_call_may_ask_for_batches(place: Place, capfd: pytest.CaptureFixture[str]) -> None:
    place.job({"seed": {"count": 8}}, batch=2)
    options = ["--nodes", str(place.folder / "nodes.py"), "--store", str(place.folder / "store"), "--json"]
    for given, calls in ([], 4), (["--batch", "4"], 2):
        assert call(["farm", "plan", str(place.folder / "job.json"), *options, *given]) == 0
        assert orjson.loads(capfd.readouterr().out)["executions"]["SampleBatch"] == calls


def test_jobs_from_python_may_ask_for_batches(place: Place) -> None:
    graph = Graph.load(place.folder / "graph.json")
    with Farm(place.out, setup=place.setup).submit(graph, {"seed": range(4)}, batch=4) as running:
        assert len([*running]) == 4
    assert ran(place)["SampleBatch"] == 1


def test_the_limit_of_nodes_is_for_one_item_of_a_batch(place: Place) -> None:
    job = place.job({"prompt": [*"abcdefgh"]}, batch=8)
    submit(job, place.out, place.setup)
    facts = read_tasks(place.out).facts
    runner = ItemRunner.of(place.out, facts, "1-worker")
    assert runner.engine.limits.max_nodes == 8 * place.setup.engine().limits.max_nodes


def test_a_batch_beyond_the_limit_is_refused(place: Place) -> None:
    engine = replace(place.setup.engine(), limits=Limits(max_batch=4))
    with pytest.raises(GraphError) as caught:
        planned(place.job({"seed": {"count": 8}}, batch=5), engine)
    assert [problem.code for problem in caught.value.problems] == ["batch-too-large"]
