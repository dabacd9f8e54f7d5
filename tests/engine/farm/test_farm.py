"""Jobs as they are run: resumed, killed, refused, failing."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
import time
from collections import Counter
from contextlib import closing
from dataclasses import replace
from subprocess import Popen

import pytest

from tests.engine.farm.conftest import Place, kill, until
from weft.engine import Engine, GraphError, Link
from weft.engine.cli import call
from weft.engine.farm import Ledger
from weft.engine.farm.report.job_progress import progress
from weft.engine.farm.report.manifest import write_manifest
from weft.engine.farm.submit import submit
from weft.engine.farm.work.ledger_file import ledger_path
from weft.engine.farm.work.publishing import published
from weft.engine.farm.work.worker import Worker, chunk_size


def worked(place: Place) -> Counter[str]:
    """Work here until nothing is left; the states of the items then."""
    Worker(place.out).work()
    ledger = Ledger(ledger_path(place.out))
    counts = ledger.counts()
    ledger.close()
    return counts


def ran(place: Place) -> Counter[str]:
    """How many nodes ran, by id, as the sidecars say."""
    return Counter(node for sidecar in published(place.out) for node in sidecar["ran"])


def test_a_job_runs_each_shared_node_once(place: Place) -> None:
    submit(place.job({"prompt": ["a", "b"], "seed": {"count": 5}}), place.out, place.setup)
    assert worked(place) == {"done": 10}
    assert ran(place) == {"encode": 2, "sample": 10, "paint": 10} and len(place.pictures()) == 10


def test_a_sidecar_has_the_device_that_was_used_the_precision_and_the_outputs(place: Place) -> None:
    job = place.job({"seed": [1]})
    job = replace(job, graph=replace(job.graph, outputs={"level": Link("sample"), "dot": Link("paint")}))
    submit(job, place.out, place.setup)
    worked(place)
    (sidecar,) = published(place.out)
    assert (sidecar["device"], sidecar["precision"]) == (Engine().resolved_device, Engine().resolved_precision)
    assert isinstance(sidecar["outputs"]["level"]["value"], int) and sidecar["outputs"]["dot"]["type"] == "Artifact"


def test_a_job_that_is_done_runs_nothing_and_one_more_prompt_its_items(place: Place) -> None:
    submit(place.job({"prompt": ["a"], "seed": [1, 2]}), place.out, place.setup)
    worked(place)
    before = place.pictures()
    shutil.rmtree(place.out / ".farm")
    submit(place.job({"prompt": ["b", "a"], "seed": [1, 2]}), place.out, place.setup)
    assert worked(place) == {"cached": 2, "done": 2}
    assert before.items() <= place.pictures().items() and len(place.pictures()) == 4


def test_failures_are_tried_again_and_stop_nothing_else(place: Place) -> None:
    submit(place.job({"prompt": ["a", "fail", "memory", "b"]}, retries=1), place.out, place.setup)
    assert worked(place) == {"done": 2, "failed": 2}
    ledger = Ledger(ledger_path(place.out))
    failed = ledger.entries("failed")
    assert [one.attempt for one in failed] == [2, 1]
    assert "this text fails" in failed[0].error and "MemoryError" in failed[1].error


def test_too_many_failures_stop_a_job(place: Place) -> None:
    submit(place.job({"prompt": ["fail", "a"]}, retries=0, max_failures=1), place.out, place.setup)
    assert worked(place) == {"failed": 1, "waiting": 1}


@pytest.mark.parametrize("text", ["exit", "cancelled"])
def test_an_item_that_ends_its_process_in_python_has_failed_as_any_other(place: Place, text: str) -> None:
    submit(place.job({"prompt": ["a", text, "b"]}, retries=1), place.out, place.setup)
    assert worked(place) == {"done": 2, "failed": 1}
    with closing(Ledger(ledger_path(place.out))) as ledger:
        assert [one.attempt for one in ledger.entries("failed")] == [2]


def test_items_that_kill_their_workers_are_tried_as_often_as_retries_allow_and_those_behind_them_are_reached(
    place: Place,
) -> None:
    place.job({"prompt": ["crash", "kill", "a", "segfault", "b"]}, retries=0)
    assert place.run() == 1
    with closing(Ledger(ledger_path(place.out))) as ledger:
        assert ledger.counts() == {"done": 2, "failed": 3}
        assert all("died" in one.error and one.charge == 0.5 for one in ledger.entries("failed"))


def test_a_worker_that_cannot_write_what_happened_charges_the_item_that_it_ran(place: Place) -> None:
    submit(place.job({"prompt": ["fail"]}, retries=1), place.out, place.setup)
    with closing(Ledger(ledger_path(place.out))) as ledger:
        ledger._base.execute("CREATE TRIGGER broken BEFORE INSERT ON faults BEGIN SELECT RAISE(ABORT, 'broken'); END")
        for _ in range(3):
            with pytest.raises(sqlite3.IntegrityError):
                Worker(place.out).work()
        assert ledger.counts() == {"failed": 1}


def test_the_first_items_go_before_all_others_and_stop_the_job_where_they_fail(place: Place) -> None:
    submit(place.job({"prompt": ["fail", "a", "b"]}, retries=1, first=1), place.out, place.setup)
    assert worked(place) == {"failed": 1, "waiting": 2}
    with closing(Ledger(ledger_path(place.out))) as ledger:
        assert progress(ledger).state == "stopped" and "item 0" in progress(ledger).cause
    assert call(["farm", "resume", str(place.out)]) == 0 and worked(place) == {"failed": 1, "done": 2}


def test_names_that_collide_are_refused(place: Place) -> None:
    with pytest.raises(GraphError) as caught:
        submit(place.job({"seed": [1, 2]}, name="same"), place.out, place.setup)
    assert [problem.code for problem in caught.value.problems] == ["colliding-names"] and not place.out.exists()


def test_a_name_that_another_picture_has_is_refused_before_anything_runs(place: Place) -> None:
    submit(place.job({"seed": [1, 2]}, name="{index}"), place.out, place.setup)
    assert worked(place) == {"done": 2}
    submit(place.job({"seed": [1, 2, 3]}, name="{index}"), place.out, place.setup)
    with pytest.raises(GraphError) as caught:
        submit(place.job({"seed": [1, 4]}, name="{index}"), place.out, place.setup)
    assert [problem.code for problem in caught.value.problems] == ["name-taken"]


def test_a_missing_file_is_refused(place: Place) -> None:
    with pytest.raises(GraphError) as caught:
        place.job({"prompt": {"file": "none.txt"}})
    assert [problem.code for problem in caught.value.problems] == ["missing-file"]


def test_a_picture_of_somebody_else_is_not_replaced(place: Place) -> None:
    place.out.mkdir()
    (place.out / "x1.png").write_bytes(b"mine")
    submit(place.job({"seed": [1, 2]}, name="x{seed}", retries=0), place.out, place.setup)
    assert worked(place) == {"done": 1, "failed": 1}
    assert (place.out / "x1.png").read_bytes() == b"mine"


def test_a_full_disk_stops_the_job_and_blames_no_item(place: Place) -> None:
    submit(place.job({"seed": [1, 2]}), place.out, place.setup)
    (place.out / ".farm" / "attempts").write_bytes(b"no folder")
    assert worked(place) == {"waiting": 2}
    ledger = Ledger(ledger_path(place.out))
    assert progress(ledger).state == "stopped" and progress(ledger).cause


def test_a_paused_job_gives_no_lease(place: Place) -> None:
    submit(place.job({"seed": {"count": 4}}), place.out, place.setup)
    ledger = Ledger(ledger_path(place.out))
    ledger.set_state("paused")
    assert ledger.lease("one", 4) == [] and worked(place) == {"waiting": 4}


def test_leases_are_a_fair_part_of_what_remains() -> None:
    assert [chunk_size(seconds, 1000, 2) for seconds in (None, 0.001, 1.0, 60.0)] == [1, 125, 30, 1]


def test_the_manifest_is_made_from_what_is_published(place: Place) -> None:
    submit(place.job({"seed": [1, 2]}), place.out, place.setup)
    worked(place)
    next(place.out.glob("*.png")).unlink()
    assert write_manifest(place.out) == 1
    line = json.loads((place.out / "manifest.jsonl").read_text())
    assert line["settings"] in ({"seed": 1}, {"seed": 2}) and line["versions"]["weft-engine"]


def kill_some(place: Place, coordinator: Popen[bytes], number: int, chance: random.Random) -> int:
    """Kill so many workers of a coordinator, as long as it lives; how many were killed."""
    until(lambda: ledger_path(place.out).is_file() or coordinator.poll() is not None)
    ledger, killed = Ledger(ledger_path(place.out)), 0
    while killed < number and coordinator.poll() is None:
        until(lambda: ledger.workers() or coordinator.poll() is not None)
        time.sleep(chance.uniform(0.02, 0.3))
        names = [name for name, _, _ in ledger.workers()]
        if names and coordinator.poll() is None:
            killed += kill(int(chance.choice(names).partition("-")[0]))
    return killed


def forget(place: Place) -> None:
    """Remove the ledger, whatever still has it open."""
    for path in ledger_path(place.out).parent.glob("ledger.sqlite*"):
        path.unlink(missing_ok=True)


def attempts(place: Place) -> int:
    """How many attempts were begun, as the logs say: numbers of attempts begin at 1 with each ledger."""
    logs = (place.out / ".farm" / "logs").glob("????????????????.*.log")
    return sum(log.read_bytes().count(b'"event":"attempt"') for log in logs)


def killed_job(place: Place, items: int, workers: int, coordinators: int, forgetting: float = 0.0) -> int:
    """Run a job whose processes are killed at random moments; how many were.

    Args:
        forgetting: how often the ledger is removed after a coordinator was killed, in 0..1.
    """
    place.job({"seed": {"count": items}, "sample.seconds": [0.05]}, retries=100)
    options = ["--out", "out", "--nodes", "nodes.py", "--store", "store", "--device", "cpu", "--workers", "2"]
    chance, kills = random.Random(7), 0
    for _ in range(coordinators):
        coordinator = place.start("run", "job.json", *options)
        kills += kill_some(place, coordinator, workers // coordinators, chance)
        kills += coordinator.poll() is None
        coordinator.kill()
        coordinator.wait()
        if chance.random() < forgetting:
            forget(place)
    assert place.start("run", "job.json", *options).wait(300) == 0
    assert items <= attempts(place) <= items + 2 * kills, "no more ran again than was in flight"
    return kills


def whole(place: Place, items: int) -> None:
    """Nothing is lost, doubled or cut short."""
    sidecars = [*published(place.out)]
    assert len({one["id"] for one in sidecars}) == len(sidecars) == len(place.pictures()) == items
    assert all(content.endswith(b"IEND\xaeB`\x82") for content in place.pictures().values())


def test_processes_killed_at_random_moments(place: Place) -> None:
    assert killed_job(place, 50, 4, 1) >= 3
    whole(place, 50)


@pytest.mark.slow
def test_processes_killed_and_the_ledger_removed(place: Place) -> None:
    assert killed_job(place, 40, 4, 2, forgetting=1.0) >= 3
    whole(place, 40)


@pytest.mark.slow
@pytest.mark.parametrize("forgetting", [0.0, 0.7])
def test_a_thousand_items_and_a_hundred_and_twenty_kills(place: Place, forgetting: float) -> None:
    assert killed_job(place, 1000, 100, 20, forgetting) >= 100
    whole(place, 1000)
