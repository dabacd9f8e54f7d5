"""The verbs of `weft farm`, in this process, and what they import."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.engine.farm.conftest import Place
from weft.engine.cli import call
from weft.engine.farm.submit import submit
from weft.engine.farm.work.ledger import Ledger
from weft.engine.farm.work.ledger_file import ledger_path
from weft.engine.farm.work.worker import Worker


@pytest.fixture
def failed(place: Place) -> Place:
    """A job with an item done and one that failed."""
    submit(place.job({"prompt": ["a", "fail"]}, retries=0, name="{prompt}"), place.out, place.setup)
    Worker(place.out).work()
    return place


def test_run_and_run_again(place: Place, capfd: pytest.CaptureFixture[str]) -> None:
    place.job({"seed": {"count": 6}})
    assert place.run("--workers", "2", "--contact-sheet") == 0 and len(place.pictures()) == 7
    times = {path.name: path.stat().st_mtime_ns for path in place.out.glob("*_*.png")}
    assert place.run("--workers", "2") == 0
    assert {path.name: path.stat().st_mtime_ns for path in place.out.glob("*_*.png")} == times
    assert call(["farm", "status", str(place.out), "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["counts"] == {"cached": 6}


def test_plan_says_what_a_job_will_do(place: Place, capfd: pytest.CaptureFixture[str]) -> None:
    place.job({"prompt": ["a", "b"], "seed": {"count": 5}})
    options = ["--nodes", str(place.folder / "nodes.py"), "--store", str(place.folder / "store")]
    assert call(["farm", "plan", str(place.folder / "job.json"), *options, "--json"]) == 0
    plan = json.loads(capfd.readouterr().out)
    assert plan["executions"] == {"Encode": 2, "Sample": 10, "Paint": 10} and plan["items"] == 10


def test_a_job_whose_types_all_ran_has_a_price_and_a_price_a_picture(
    place: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    place.job({"seed": {"count": 2}})
    assert place.run() == 0
    options = ["--nodes", str(place.folder / "nodes.py"), "--store", str(place.folder / "store"), "--device", "cpu"]
    place.job({"seed": {"count": 8, "start": 50}, "sample.seconds": [0.05]})
    capfd.readouterr()
    assert call(["farm", "plan", str(place.folder / "job.json"), *options, "--json", "--price", "3600"]) == 0
    plan = json.loads(capfd.readouterr().out)
    assert plan["seconds"] > 0 and plan["cost"] == pytest.approx(plan["seconds"])
    assert plan["cost_each"] == pytest.approx(plan["cost"] / 8)


def test_status_and_logs_say_why(failed: Place, capfd: pytest.CaptureFixture[str]) -> None:
    assert call(["farm", "status", str(failed.out)]) == 1
    assert "1 done, 1 failed" in (shown := capfd.readouterr().out) and "this text fails" in shown
    assert call(["farm", "logs", str(failed.out), "fail"]) == 0
    assert '"event":"node_failed"' in capfd.readouterr().out
    assert call(["farm", "logs", str(failed.out), "nobody"]) == 2


@pytest.mark.parametrize(
    ("verbs", "counts"),
    [
        (["retry"], {"done": 1, "waiting": 1}),
        (["retry", "skip"], {"done": 1, "skipped": 1}),
        (["skip", "requeue"], {"done": 1, "waiting": 1}),
        (["requeue", "cancel"], {"done": 1, "cancelled": 1}),
        (["requeue", "cancel", "resume"], {"done": 1, "waiting": 1}),
    ],
)
def test_items_are_moved(failed: Place, verbs: list[str], counts: object, capfd: pytest.CaptureFixture[str]) -> None:
    for verb in verbs:
        assert call(["farm", verb, str(failed.out)]) == 0
    capfd.readouterr()
    call(["farm", "status", str(failed.out), "--json"])
    assert json.loads(capfd.readouterr().out)["counts"] == counts


def test_a_folder_without_a_job_is_named(place: Place, capfd: pytest.CaptureFixture[str]) -> None:
    assert call(["farm", "status", str(place.folder)]) == 2
    assert str(place.folder) in capfd.readouterr().err


def test_planning_and_status_are_light(failed: Place) -> None:
    arguments = ["farm", "status", str(failed.out)]
    code = f"import sys; from weft.engine.cli import call; call({arguments}); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL).returncode == 0


def test_a_worker_takes_the_job_of_the_greatest_priority_first(place: Place) -> None:
    folders = [place.folder / name for name in ("low", "high", "middle")]
    for folder, priority in zip(folders, (-1, 5, 0), strict=True):
        submit(place.job({"seed": [1, 2]}, priority=priority), folder, place.setup)
    assert call(["farm", "work", *map(str, folders)]) == 0
    ended = {entry.ended: folder.name for folder in folders for entry in Ledger(ledger_path(folder)).entries("done")}
    assert [ended[moment] for moment in sorted(ended)] == ["high", "high", "middle", "middle", "low", "low"]
