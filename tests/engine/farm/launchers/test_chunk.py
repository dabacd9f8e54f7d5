"""Chunks of items without a ledger, and what other farms call them by."""

from __future__ import annotations

import importlib.util
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.engine.farm.conftest import WEFT, Place, until
from weft.engine import InputError
from weft.engine.cli import call
from weft.engine.farm.launchers.chunk import numbers, run_chunk
from weft.engine.farm.launchers.openjd import job_template
from weft.engine.farm.launchers.slurm import MAX_TASKS, array_script
from weft.engine.farm.launchers.tasks import Tasks, read_tasks
from weft.engine.farm.submit import prepare, submit
from weft.engine.farm.work.publishing import published
from weft.engine.farm.work.worker import Worker

needs_openjd = pytest.mark.skipif(
    importlib.util.find_spec("openjd") is None, reason="needs openjd-cli: pip install weft-engine[openjd]"
)


def prepared(place: Place, *prompts: str, seeds: int = 3) -> Tasks:
    """A job in its folder, without a ledger."""
    prepare(place.job({"prompt": [*prompts], "seed": {"count": seeds}}), place.out, place.setup)
    return read_tasks(place.out)


def states(tasks: Tasks, items: str) -> list[str]:
    """Run a chunk; how its items ended."""
    return [one.state for one in run_chunk(tasks, numbers(items))]


def ids(folder: Path) -> set[str]:
    """The items that are published."""
    return {sidecar["id"] for sidecar in published(folder)}


def test_a_chunk_publishes_its_items_and_runs_again_nothing(place: Place) -> None:
    tasks = prepared(place, "a", "b")
    assert states(tasks, "0-1,4") == ["done", "done", "done"] and len(place.pictures()) == 3
    assert states(tasks, "0-4") == ["cached", "cached", "done", "done", "cached"]
    assert not (place.out / ".farm" / "ledger.sqlite").exists() and not [*place.out.glob(".farm/attempts/*")]


def test_what_chunks_published_a_ledger_has_as_done(place: Place) -> None:
    tasks = prepared(place, "a")
    states(tasks, "0-2")
    assert submit(place.job({"prompt": ["a"], "seed": {"count": 3}}), place.out, place.setup).items
    assert Worker(place.out).work() == 0 and read_tasks(place.out) == tasks


def test_a_failure_stops_no_other_item(place: Place) -> None:
    ended = [*run_chunk(prepared(place, "fail", "a", seeds=1), (0, 1))]
    assert [one.state for one in ended] == ["failed", "done"] and "this text fails" in ended[0].error


def test_items_behind_one_that_kills_the_process_are_reached_when_the_chunk_runs_again(place: Place) -> None:
    prepared(place, "a", "kill", "b", seeds=1)
    assert [place.start("run-chunk", "out", "0-2").wait(60) for _ in range(2)] == [-signal.SIGKILL] * 2
    assert len(place.pictures()) == 2


def test_status_and_logs_need_no_ledger(place: Place, capfd: pytest.CaptureFixture[str]) -> None:
    states(prepared(place, "fail", "a", "b", seeds=1), "0-1")
    assert call(["farm", "status", str(place.out)]) == 1
    shown = capfd.readouterr().out
    assert "exported, 2 of 3 (1 done, 1 failed, 1 waiting)" in shown and "this text fails" in shown
    assert call(["farm", "logs", str(place.out), "0"]) == 0 and "this text fails" in capfd.readouterr().out
    states(prepared(place, "a", "b", seeds=1), "0-1")
    assert call(["farm", "status", str(place.out), "--watch"]) == 0 and "finished, 2 of 2" in capfd.readouterr().out


def test_a_picture_that_went_is_made_again(place: Place) -> None:
    tasks = prepared(place, "a", seeds=1)
    states(tasks, "0")
    (before,) = place.pictures().items()
    (place.out / before[0]).unlink()
    assert states(tasks, "0") == ["done"] and place.pictures() == dict([before])


def test_a_chunk_that_is_stopped_ends(place: Place) -> None:
    ended = [*run_chunk(prepared(place, "a"), (0, 1), stopped=lambda: True)]
    assert [one.state for one in ended] == ["stopped"] and not place.pictures()


@pytest.mark.slow
def test_chunks_at_once_killed_and_asked_to_stop_publish_the_same(place: Place) -> None:
    prepare(place.job({"seed": {"count": 8}, "sample.seconds": [0.3]}, name="{seed}"), place.out, place.setup)
    attempts = place.out / ".farm" / "attempts"
    stopped = place.start("run-chunk", "out", "0-7")
    until(lambda: [*attempts.glob("*")])
    stopped.terminate()
    assert stopped.wait() == 143 and not [*attempts.glob("*")]
    killed, other = (place.start("run-chunk", "out", "0-7") for _ in range(2))
    until(lambda: [*attempts.glob("*")])
    killed.kill()
    assert (killed.wait(), other.wait()) == (-signal.SIGKILL, 0)
    assert place.start("run-chunk", "out", "0-7").wait() == 0
    assert len(place.pictures()) == len(ids(place.out)) == 8


def test_items_of_another_submission_are_refused(place: Place) -> None:
    key = prepared(place, "a").key
    prepared(place, "b", "a")
    with pytest.raises(InputError) as caught:
        read_tasks(place.out, key)
    assert caught.value.code == "job-changed"


@pytest.mark.parametrize(
    ("items", "code", "shown"),
    [("0-1", 0, "done"), ("0,2", 1, "this text fails"), ("7", 2, "7"), ("x", 2, "x")],
)
def test_exit_codes(place: Place, items: str, code: int, shown: str, capfd: pytest.CaptureFixture[str]) -> None:
    prepared(place, "a", "b", "fail", seeds=1)
    assert call(["farm", "run-chunk", str(place.out), items]) == code
    out, err = capfd.readouterr()
    assert shown in out + err


def test_lines_for_a_program(place: Place, capfd: pytest.CaptureFixture[str]) -> None:
    prepared(place, "a", "fail", seeds=1)
    call(["farm", "run-chunk", str(place.out), "0-1", "--json"])
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [(one["state"], one["part"]) for one in lines] == [("done", 0.5), ("failed", 1.0)]


def test_lines_for_open_job_description(place: Place, capfd: pytest.CaptureFixture[str]) -> None:
    prepared(place, "a", "fail", seeds=1)
    call(["farm", "run-chunk", str(place.out), "0-1", "--openjd"])
    lines = capfd.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines[-3:]] == ["openjd_progress", "openjd_status", "openjd_fail"]
    assert lines[0] == "openjd_progress: 50.0" and "this text fails" in lines[-1]


def test_steps_are_read_as_farms_and_as_open_job_description_write_them() -> None:
    assert numbers("0-6x3,9") == numbers("0-6:3,9") == (0, 3, 6, 9)


def test_slurm_arrays_stay_within_their_limit(place: Place) -> None:
    tasks = prepared(place, "a")
    many = replace(tasks, lines=tasks.lines * 1_000)
    assert f"--array=0-{MAX_TASKS - 1}\n" in array_script(many, 1)


def test_a_template_names_no_folder_outside_its_own(place: Place) -> None:
    tasks = prepared(place, "a")
    assert job_template(tasks, 2, place.folder)["parameterDefinitions"][0]["default"] == "out"
    assert "default" not in job_template(tasks, 2, place.folder / "elsewhere")["parameterDefinitions"][0]


@needs_openjd
def test_the_checker_of_open_job_description_takes_a_template(place: Place) -> None:
    from openjd.model import decode_job_template

    tasks = prepared(place, "a")
    strange = replace(tasks, facts=replace(tasks.facts, title="{{ strange }}\n" + 200 * "x"))
    template = job_template(strange, 2, place.folder)
    assert decode_job_template(template=template, supported_extensions=["TASK_CHUNKING"]).steps[0].name == "Items"


class Ways:
    """The ways that a job can be run, each in a folder and a store of its own."""

    def __init__(self, place: Place, job: Path, options: list[str]) -> None:
        self.place, self.job, self.options = place, job, options
        self.weft = place.folder / "weft"
        self.weft.write_text(f"#!/bin/sh\nexec '{WEFT[0]}' {WEFT[1]} '{WEFT[2]}' \"$@\"\n")
        self.weft.chmod(0o755)
        self.environment = {**os.environ, "OMP_NUM_THREADS": "1", "WEFT": str(self.weft)}

    def call(self, *arguments: str, **environment: str) -> str:
        """Run a command; what it printed."""
        made = subprocess.run(
            arguments, cwd=self.place.folder, env=self.environment | environment, capture_output=True, text=True
        )
        assert made.returncode == 0, made.stdout + made.stderr
        return made.stdout

    def out(self, name: str, verb: str, *options: str) -> list[str]:
        """A verb of the farm with a folder and a store by this name."""
        place = ["--out", name, "--store", f"{name}-store"]
        return [str(self.weft), "farm", verb, str(self.job), *place, *self.options, *options]

    def embedded(self) -> None:
        """Workers and a ledger."""
        self.call(*self.out("embedded", "run", "--workers", "2"))

    def openjd(self) -> None:
        """The runner of Open Job Description."""
        self.call(*self.out("openjd", "export", "--openjd", "job.openjd.json", "--chunk", "2"))
        runner = str(Path(sys.executable).with_name("openjd"))
        self.call(runner, "check", "job.openjd.json")
        shown = self.call(runner, "run", "job.openjd.json", "--step", "Items", "-p", f"Weft={self.weft}")
        assert "openjd_progress: 100.0" in shown

    def slurm(self) -> None:
        """The tasks of an array script, one after the other."""
        self.call(*self.out("slurm", "export", "--slurm", "job.sh", "--chunk", "2"))
        count = len(read_tasks(self.place.folder / "slurm").lines)
        for task in range((count + 1) // 2):
            self.call("bash", "job.sh", SLURM_ARRAY_TASK_ID=str(task))

    def ray(self) -> None:
        """Workers on a cluster of this machine."""
        token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
        self.call(*self.out("ray", "run", "--ray", "local", "--workers", "2"), **token)

    def loop(self) -> None:
        """A plain loop in a shell."""
        self.call(*self.out("loop", "export", "--slurm", "unused.sh"))
        count = len(read_tasks(self.place.folder / "loop").lines)
        self.call("sh", "-ec", f'for n in $(seq 0 {count - 1}); do "$WEFT" farm run-chunk loop $n; done')

    def published(self, name: str) -> tuple[set[str], dict[str, bytes]]:
        """What came of one way: ids and pictures."""
        folder = self.place.folder / name
        return ids(folder), {path.name: path.read_bytes() for path in folder.glob("*.png")}

    def all(self) -> list[str]:
        """Run them all; their names."""
        self.embedded()
        self.slurm()
        self.loop()
        for name in ("openjd", "ray"):
            if importlib.util.find_spec(name):
                getattr(self, name)()
        return [name for name in ("slurm", "loop", "openjd", "ray") if (self.place.folder / name).is_dir()]


@pytest.mark.slow
def test_every_way_gives_the_same_items_and_pictures(place: Place) -> None:
    place.job({"prompt": ["a", "b"]}, name="{prompt}")
    ways = Ways(place, place.folder / "job.json", ["--nodes", "nodes.py", "--device", "cpu"])
    others = ways.all()
    assert len(ways.published("embedded")[1]) == 2
    assert all(ways.published(name) == ways.published("embedded") for name in others)


@pytest.mark.slow
def test_every_way_paints_the_same_with_a_model(place: Place) -> None:
    jobs = Path(__file__).parents[4] / "graphs"
    shutil.copytree(jobs, place.folder / "graphs")
    path = place.folder / "graphs" / "jobs" / "landscapes.json"
    parts = json.loads(path.read_text())
    path.write_text(json.dumps({**parts, "sweep": {**parts["sweep"], "seed": {"count": 1, "start": 40}}}))
    ways = Ways(place, path, ["--device", "cpu"])
    others = ways.all()
    assert len(ways.published("embedded")[1]) == 6
    assert all(ways.published(name) == ways.published("embedded") for name in others)
