"""Items that take longer than their limit have failed, whatever their nodes do; those behind them are reached."""

from __future__ import annotations

import json
import time
from contextlib import closing

import pytest

from tests.engine.farm.conftest import Place
from tests.engine.farm.test_farm import worked
from weft.engine import GraphError
from weft.engine.farm import Ledger
from weft.engine.farm.launchers.chunk import run_chunk
from weft.engine.farm.launchers.tasks import read_tasks
from weft.engine.farm.submit import submit
from weft.engine.farm.work.item_clock import patience
from weft.engine.farm.work.ledger_file import ledger_path

LIMIT = 0.4


def waiting(place: Place) -> None:
    """The job's graph waits before it encodes."""
    graph = json.loads((place.folder / "graph.json").read_text())
    graph["nodes"]["wait"] = {"type": "Wait", "inputs": {"text": "a", "seconds": 0.0}}
    graph["nodes"]["encode"]["inputs"]["text"] = {"link": "wait"}
    graph["parameters"] = {"seconds": {"sets": ["wait.seconds"]}}
    (place.folder / "graph.json").write_text(json.dumps(graph))


def test_an_item_that_looks_is_ended_at_its_limit_and_tried_again_as_any_other(place: Place) -> None:
    waiting(place)
    started = time.monotonic()
    submit(place.job({"seconds": [0.0, 60.0, 0.01]}, retries=1, item_timeout=LIMIT), place.out, place.setup)
    assert worked(place) == {"done": 2, "failed": 1} and time.monotonic() - started < 20
    with closing(Ledger(ledger_path(place.out))) as ledger:
        (failed,) = ledger.entries("failed")
    assert failed.attempt == 2 and "item_timeout" in failed.error


def test_a_chunk_goes_on_behind_an_item_that_took_too_long(place: Place) -> None:
    waiting(place)
    submit(place.job({"seconds": [0.0, 60.0, 0.01]}, item_timeout=LIMIT), place.out, place.setup)
    assert [one.state for one in run_chunk(read_tasks(place.out), range(3))] == ["done", "failed", "done"]


@pytest.mark.parametrize(
    ("text", "reason"), [("hang", "item_timeout"), pytest.param("stop", "died", marks=pytest.mark.slow)]
)
def test_workers_of_items_that_hang_end_and_those_that_are_stopped_are_ended(
    text: str, reason: str, place: Place
) -> None:
    place.job({"prompt": [text, "a"]}, retries=0)
    assert place.run("--item-timeout", str(LIMIT)) == 1
    with closing(Ledger(ledger_path(place.out))) as ledger:
        assert ledger.counts() == {"done": 1, "failed": 1}
        assert reason in ledger.entries("failed")[0].error


def test_a_chunk_that_hangs_ends_its_process_and_says_which_item_failed(place: Place) -> None:
    submit(place.job({"prompt": ["hang", "a"]}, item_timeout=LIMIT), place.out, place.setup)
    assert place.start("run-chunk", "out", "0-1", "--json").wait(60) == 1
    (line,) = [json.loads(line) for line in (place.folder / "log").read_text().splitlines() if line.startswith("{")]
    assert (line["number"], line["state"]) == (0, "failed")


@pytest.mark.parametrize("limit", [0, -1, "5", True, 1e12])
def test_what_is_no_time_is_refused(place: Place, limit: object) -> None:
    with pytest.raises(GraphError) as caught:
        place.job({"seed": [1]}, item_timeout=limit)
    assert [problem.code for problem in caught.value.problems] == ["malformed-value"]


def test_runs_have_as_long_again_to_end_but_not_longer_than_some_seconds() -> None:
    assert (patience(1.0), patience(600.0)) == (2.0, 605.0)
