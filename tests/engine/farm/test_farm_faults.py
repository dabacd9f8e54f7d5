"""What goes wrong around a job: workers that are stopped and wake late, a disk that is full, files that go missing."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from subprocess import Popen

import pytest
from PIL import Image

from tests.engine.farm.conftest import WEFT, Place, until
from tests.engine.farm.test_farm import whole, worked
from tests.engine.test_robust_full import may_mount
from weft.engine.cli import call
from weft.engine.farm import Ledger
from weft.engine.farm.report.job_progress import progress
from weft.engine.farm.submit import submit
from weft.engine.farm.work.attempt import log_path, staging_path
from weft.engine.farm.work.ledger import Entry
from weft.engine.farm.work.ledger_file import ledger_path

CHANCE = random.Random(7)


def held_by(ledger: Ledger, pid: int) -> Entry | None:
    """What a worker's process executes and holds; None where it is between items."""
    items = [item for name, _, item in ledger.workers() if name.startswith(f"{pid}-")]
    return next((one for one in ledger.entries("leased") if one.id in items and one.worker.startswith(f"{pid}-")), None)


def staged_by(place: Place, ledger: Ledger, worker: str) -> Entry | None:
    """What a worker holds and has ready to be published."""
    ready = set()
    for path in (place.out / ".farm" / "attempts").glob(f"{worker}.*/item.sidecar.json"):
        with suppress(OSError, ValueError):
            ready.add(json.loads(path.read_bytes())["id"])
    return next((one for one in ledger.entries("leased") if one.id in ready), None)


def overslept(place: Place, ledger: Ledger, pid: int, ready: bool) -> Entry | None:
    """Stop a worker, end its lease, and wake it; what it held, None where that was nothing.

    The ledger is held meanwhile, so that no worker is stopped while it holds the ledger itself.

    Args:
        ready: stop it when its pictures are ready and it waits for the ledger to publish them; otherwise at any moment.
    """
    with ledger._transaction():
        if (entry := held_by(ledger, pid)) is None:
            return None
        if ready:
            entry = until(partial(staged_by, place, ledger, entry.worker))
            assert entry
        os.kill(pid, signal.SIGSTOP)
        until(lambda: Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] == "T")
        ledger._base.execute("UPDATE items SET until=0 WHERE worker=? AND state='leased'", (entry.worker,))
    ledger.reap()
    os.kill(pid, signal.SIGCONT)
    return entry


def refused(place: Place, entry: Entry) -> bool:
    """Whether an attempt ended with its pictures refused, as its log says when it has ended."""
    log = log_path(place.out, entry)
    until(lambda: log.is_file() and (b'"refused"' in log.read_bytes() or b'"published"' in log.read_bytes()))
    return b'"published"' not in log.read_bytes()


def late(place: Place, ledger: Ledger, workers: list[Popen[bytes]], stops: int) -> int:
    """Have workers oversleep in turn, so many times; how often what they brought was refused."""
    count = 0
    for stop in range(stops):
        pid, entry = workers[stop % len(workers)].pid, None
        while entry is None:
            time.sleep(CHANCE.uniform(0.0, 0.1))
            entry = overslept(place, ledger, pid, ready=stop % 2 == 1)
        count += refused(place, entry)
    return count


@pytest.mark.parametrize("stops", [3, pytest.param(100, marks=pytest.mark.slow)])
def test_workers_that_were_stopped_and_wake_late_are_refused(place: Place, stops: int) -> None:
    items = 40 + 10 * stops
    submit(place.job({"seed": {"count": items}, "sample.seconds": [0.1]}, retries=100), place.out, place.setup)
    workers = [place.start("work", "out", "--device", "cpu") for _ in range(5)]
    with closing(Ledger(ledger_path(place.out))) as ledger:
        assert late(place, ledger, workers, stops) == stops
        assert [worker.wait(120) for worker in workers] == [0] * 5
        assert ledger.counts() == {"done": items}
    whole(place, items)


FULL = """
mount -t tmpfs -o size={room}k tmpfs out
run() {{ "$@" farm run job.json --out out --nodes nodes.py --store store --device cpu --workers 2; }}
run "$@" && exit 9
"$@" farm status out
"$@" farm logs out 59
mount -o remount,size=10m out
run "$@" >again 2>&1 || exit 8
"$@" farm status out
ls out/*.png | wc -l
"""


@pytest.mark.slow
@pytest.mark.parametrize("room", [500, 900])
def test_a_disk_that_is_full_stops_the_job_and_blames_no_item(place: Place, room: int) -> None:
    if not may_mount(place.folder):
        pytest.skip("mounting a small file system needs rights that are not given here")
    place.job({"seed": {"count": 60}}, retries=0)
    place.out.mkdir()
    shell = ["unshare", "-rm", "sh", "-c", FULL.format(room=room), "sh", *WEFT]
    done = subprocess.run(shell, cwd=place.folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert ("  stopped: " in done.stdout and "full" in done.stdout) or "No space left" in done.stdout
    assert "the job stopped: " in done.stdout
    assert "failed" not in done.stdout and done.stdout.endswith("60\n")


def test_an_input_file_that_goes_missing_fails_its_items_alone(place: Place, capfd: pytest.CaptureFixture[str]) -> None:
    graph = json.loads((place.folder / "graph.json").read_text())
    graph["parameters"]["picture"] = {"sets": ["picture.path"]}
    graph["nodes"]["picture"] = {"type": "LoadImage", "inputs": {"path": "one.png"}}
    graph["nodes"]["show"] = {"type": "SaveImage", "inputs": {"image": {"link": "picture"}}}
    (place.folder / "graph.json").write_text(json.dumps(graph))
    pictures = ["one.png", "two.png", "three.png"]
    for level, name in enumerate(pictures):
        Image.new("RGB", (8, 8), (level, 0, 0)).save(place.folder / name)
    submit(place.job({"picture": pictures}, retries=0, name="{index}"), place.out, place.setup)
    (place.folder / "two.png").unlink()
    assert worked(place) == {"done": 2, "failed": 1}
    assert call(["farm", "status", str(place.out)]) == 1 and "two.png" in capfd.readouterr().out
    assert call(["farm", "logs", str(place.out), "1"]) == 0 and "two.png" in capfd.readouterr().out


def test_what_killed_workers_left_is_cleared(place: Place) -> None:
    submit(place.job({"seed": [1, 2]}), place.out, place.setup)
    dead, lives = (staging_path(place.out, f"{pid}-worker", 0) for pid in (9999999, os.getpid()))
    for left in (dead, lives):
        left.mkdir(parents=True)
    assert place.run() == 0
    assert [*lives.parent.iterdir()] == [lives]


@pytest.mark.slow
def test_a_ledger_that_somebody_deletes_ends_the_job_with_words_and_what_is_published_is_done(place: Place) -> None:
    graph = json.loads((place.folder / "graph.json").read_text())
    graph["nodes"]["sample"]["inputs"]["seconds"] = 0.1
    (place.folder / "graph.json").write_text(json.dumps(graph))
    place.job({"seed": {"count": 12}}, retries=0)
    options = ["--out", "out", "--nodes", "nodes.py", "--store", "store", "--device", "cpu"]
    process = place.start("run", "job.json", *options)
    until(lambda: len(place.pictures()) >= 2)
    ledger_path(place.out).unlink()
    assert process.wait(60) != 0
    log = (place.folder / "log").read_text()
    assert "ledger" in log and "Traceback" not in log
    published = place.pictures()
    assert 2 <= len(published) < 12
    assert place.run() == 0 and len(place.pictures()) == 12
    with closing(Ledger(ledger_path(place.out))) as ledger:
        assert ledger.counts()["cached"] + ledger.counts()["done"] == 12


def test_a_job_whose_store_cannot_be_written_is_done_all_the_same_and_says_so(place: Place) -> None:
    (place.folder / "store").write_bytes(b"in the place of the store")
    submit(place.job({"seed": [1, 2]}, retries=0), place.out, place.setup)
    assert worked(place) == {"done": 2}
    with closing(Ledger(ledger_path(place.out))) as ledger:
        assert str(place.folder / "store") in progress(ledger).unkept and "warning" in str(progress(ledger))
