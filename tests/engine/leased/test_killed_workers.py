"""Workers and their server in processes of their own, killed at any moment. Takes minutes:

pytest -m slow -n 0 -s tests/engine/leased/test_killed_workers.py
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest

from tests.engine.serve.conftest import until, written
from tests.engine.serve.processes import WEFT, ServerProcess

pytestmark = pytest.mark.slow

KILLS = 20


@dataclass
class WorkerProcess:
    """`weft work` in a folder of its own, which may be killed and started again."""

    folder: Path
    url: str
    name: str
    process: subprocess.Popen[bytes] = field(init=False, repr=False)

    def start(self) -> None:
        """Start it."""
        own = self.folder / self.name
        options = ["--name", self.name, "--data", str(own), "--store", str(own / "store"), "--nodes", "nodes.py"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
        with (self.folder / f"{self.name}.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*WEFT, "work", self.url, *options, "--device", "cpu"],
                cwd=self.folder,
                env=environment,
                stderr=log,
                stdout=log,
            )

    def ended(self) -> int:
        """How many runs it has ended, whatever became of its processes."""
        return (self.folder / f"{self.name}.log").read_text().count(": done (")

    def kill(self) -> None:
        """End it as the end of its machine would."""
        self.process.kill()
        self.process.wait()


@dataclass
class Caller:
    """Submits runs by keys of its own while it is asked to, some that take a moment among them.

    Args:
        accepted: the id of each run by its key.
    """

    server: ServerProcess
    accepted: dict[str, str] = field(default_factory=dict)
    over: threading.Event = field(default_factory=threading.Event)

    def body(self, key: str) -> tuple[str, dict[str, Any]]:
        """The graph and the parameters of a key."""
        number = int(key)
        return ("slow", {"steps": 10, "seed": number}) if number % 3 else ("sum", {"first": number, "second": 1})

    def submit(self, key: str) -> tuple[int, Any]:
        """Submit the run of a key, or find it."""
        graph, body = self.body(key)
        return self.server.post(f"/api/graphs/{graph}/runs", body, {"Idempotency-Key": key})

    def __call__(self) -> None:
        """Submit one run after another; few wait at a time."""
        number = 0
        while not self.over.is_set():
            with suppress(OSError, ValueError, HTTPException):
                if json.loads(self.server.get("/api/server"))["queue"]["queued"] < 6:
                    status, run = self.submit(str(number))
                    if status in (200, 202):
                        self.accepted[str(number)] = run["id"]
                        number += 1
            time.sleep(0.03)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    """A server that leaves all runs to workers."""
    written(tmp_path)
    made = ServerProcess(tmp_path, ("graphs", "--nodes", "nodes.py", "--no-run", "--lease", "2"))
    made.start()
    yield made
    made.kill()


@pytest.fixture
def workers(server: ServerProcess, tmp_path: Path) -> Iterator[list[WorkerProcess]]:
    """Two workers of it, which have each ended a run."""
    made = [WorkerProcess(tmp_path, server.url, name) for name in ("one", "two")]
    for one in made:
        one.start()
    yield made
    for one in made:
        one.kill()


def ended_here(server: ServerProcess) -> bool:
    """Whether a worker has ended a run since the server was started."""
    return any(one["ended"] for one in json.loads(server.get("/api/server"))["workers"])


def check(caller: Caller) -> Counter[str]:
    """Every accepted run has ended once, with its own result; its key finds it. How they ended."""
    ends = Counter[str]()
    server = caller.server
    for key, id in caller.accepted.items():
        run = json.loads(server.get(f"/api/runs/{id}?wait=120"))
        ends[f"{run['state']} in attempt {run['attempt']}"] += 1
        assert run["state"] == "done", run["error"]
        outputs = run["result"]["outputs"]
        if "seed" in outputs:
            assert outputs["seed"]["value"] == int(key)
        else:
            assert outputs["total"]["value"] == int(key) + 1
            files = [one["name"] for one in run["result"]["files"]]
            assert files == ["dot_0001.png"] == [path.name for path in (server.folder / "data" / "runs" / id).iterdir()]
            assert server.get(run["result"]["files"][0]["url"])[:4] == b"\x89PNG"
        assert caller.submit(key)[1]["id"] == id
    return ends


@pytest.mark.parametrize("killed", ["workers", "server"])
def test_every_accepted_run_ends_once_whenever_one_of_them_is_killed(
    server: ServerProcess, workers: list[WorkerProcess], killed: str
) -> None:
    chance, caller = random.Random(11), Caller(server)
    thread = threading.Thread(target=caller)
    thread.start()
    try:
        until(lambda: all(one.ended() for one in workers), 60)
        for number in range(KILLS):
            time.sleep(chance.uniform(0.05, 1.2))
            if killed == "server":
                server.kill()
                server.start()
                until(lambda: ended_here(server), 60)
            else:
                one = workers[number % 2]
                one.kill()
                before = one.ended()
                one.start()
                until(lambda one=one, before=before: one.ended() > before, 60)  # type: ignore[misc]
    finally:
        caller.over.set()
        thread.join()
    print(f"\n{KILLS} kills of {killed}: {len(caller.accepted)} accepted, {dict(check(caller))}")


def test_a_server_that_stood_still_takes_no_run_from_its_worker(
    server: ServerProcess, workers: list[WorkerProcess]
) -> None:
    run = server.post("/api/graphs/slow/runs", {"steps": 500, "seed": 5})[1]
    until(lambda: json.loads(server.get(f"/api/runs/{run['id']}"))["worker"], 60)
    server.process.send_signal(signal.SIGSTOP)
    time.sleep(6)
    server.process.send_signal(signal.SIGCONT)
    ended = json.loads(server.get(f"/api/runs/{run['id']}?wait=120"))
    assert (ended["state"], ended["attempt"]) == ("done", 1)


def test_a_worker_that_is_asked_to_stop_hands_back_what_runs(
    server: ServerProcess, workers: list[WorkerProcess]
) -> None:
    workers[1].kill()
    run = server.post("/api/graphs/slow/runs", {"steps": 300, "seed": 5})[1]
    until(lambda: json.loads(server.get(f"/api/runs/{run['id']}"))["worker"], 60)
    workers[0].process.send_signal(signal.SIGTERM)
    workers[1].start()
    ended = json.loads(server.get(f"/api/runs/{run['id']}?wait=120"))
    assert (ended["state"], ended["attempt"]) == ("done", 1)
    assert workers[0].process.wait(60) == 0
