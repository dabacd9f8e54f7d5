"""A server under load, killed at any moment, and answering from its store. Takes minutes; times hold on a machine that
does nothing else:

pytest -m slow -n 0 -s tests/engine/serve/test_service.py
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.engine.serve.conftest import written
from tests.engine.serve.processes import ServerProcess
from weft.engine.serve.callers import add_token

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]

LIGHT = ("graphs", "--nodes", "nodes.py")


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Callable[..., ServerProcess]]:
    """Starts servers in a folder of the test's own, with graphs of light nodes."""
    written(tmp_path)
    started: list[ServerProcess] = []

    def start(*arguments: str) -> ServerProcess:
        made = ServerProcess(tmp_path, arguments)
        made.start()
        started.append(made)
        return made

    yield start
    for one in started:
        one.kill()


def test_what_is_stored_is_answered_within_50_ms_without_torch(served: Callable[..., ServerProcess]) -> None:
    body = {"steps": 2, "seed": 3}
    path = "/api/graphs/text_to_image/runs?wait=120"
    first = served()
    assert first.post(path, body)[1]["state"] == "done" and first.has_loaded("libtorch")
    assert first.stop() == 0
    fresh = served()
    seconds = []
    for _ in range(100):
        began = time.perf_counter()
        answer = fresh.post(path, body)[1]
        seconds.append(time.perf_counter() - began)
        assert answer["state"] == "done" and answer["result"]["ran"] == []
    print(f"\nfrom the store: first {seconds[0] * 1000:.0f} ms, p50 {statistics.median(seconds) * 1000:.1f} ms")
    assert statistics.median(seconds) <= 0.05 and not fresh.has_loaded("libtorch")


def test_every_accepted_run_ends_once_whenever_the_server_is_killed(served: Callable[..., ServerProcess]) -> None:
    chance = random.Random(7)
    server = served(*LIGHT, "--at-once", "2", "--waiting", "10000")
    accepted: dict[str, str] = {}
    numbers = iter(range(10**6))
    for _ in range(20):
        over = threading.Event()

        def submit(over: threading.Event = over) -> None:
            while not over.is_set():
                key = str(next(numbers))
                with suppress(OSError, ValueError, HTTPException):
                    body = {"first": int(key), "second": 1}
                    status, run = server.post("/api/graphs/sum/runs", body, {"Idempotency-Key": key})
                    if status == 202:
                        accepted[key] = run["id"]
                time.sleep(0.005)

        caller = threading.Thread(target=submit)
        caller.start()
        time.sleep(chance.uniform(0.05, 1.2))
        server.kill()
        over.set()
        caller.join()
        server.start()
    ends = Counter[str]()
    for key, id in accepted.items():
        run = json.loads(server.get(f"/api/runs/{id}?wait=120"))
        ends[run["state"]] += 1
        assert run["result"]["outputs"]["total"]["value"] == int(key) + 1
        assert [one["name"] for one in run["result"]["files"]] == ["dot_0001.png"]
        same = server.post("/api/graphs/sum/runs", {"first": int(key), "second": 1}, {"Idempotency-Key": key})[1]
        assert same["id"] == id
    folders = {path.name: len([*path.iterdir()]) for path in (server.folder / "data" / "runs").iterdir()}
    assert {*folders.values()} == {1}
    print(f"\n20 kills: {len(accepted)} accepted, {dict(ends)}")
    assert ends == {"done": len(accepted)}


def test_a_server_that_is_asked_to_stop_hands_back_what_runs(served: Callable[..., ServerProcess]) -> None:
    server = served(*LIGHT, "--grace", "0.2")
    run = server.post("/api/graphs/slow/runs", {"steps": 100})[1]
    time.sleep(0.3)
    assert server.stop() == 0
    server.start()
    ended = json.loads(server.get(f"/api/runs/{run['id']}?wait=60"))
    assert (ended["state"], ended["attempt"]) == ("done", 1)


@pytest.mark.parametrize(
    ("signals", "grace", "seconds"),
    [
        ([signal.SIGHUP], 0.2, 3.0),
        ([signal.SIGTERM, signal.SIGTERM], 1.0, 4.0),
        ([signal.SIGTERM, signal.SIGINT], 60.0, 3.0),  # the second one hands back at once
    ],
)
def test_signals_stop_it_in_order_within_its_grace_whoever_sends_slowly(
    served: Callable[..., ServerProcess], signals: list[signal.Signals], grace: float, seconds: float
) -> None:
    server = served(*LIGHT, "--grace", str(grace))
    run = server.post("/api/graphs/slow/runs", {"steps": 500})[1]
    with socket.create_connection(("127.0.0.1", server.port)) as slow:
        slow.sendall(b"POST /api/files HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999\r\n\r\n\x89PNG")
        time.sleep(1.0)
        began = time.monotonic()
        for one in signals:
            server.process.send_signal(one)
            time.sleep(0.3)
        assert server.process.wait(30) == 0 and time.monotonic() - began < seconds
    assert "Traceback" not in (server.folder / "log").read_text()
    server.start()
    again = json.loads(server.get(f"/api/runs/{run['id']}"))
    assert (again["state"], again["attempt"]) in (("queued", 0), ("running", 1))


def test_callers_have_equal_shares_and_lose_nothing_under_load(
    served: Callable[..., ServerProcess], tmp_path: Path
) -> None:
    tokens = [add_token(tmp_path / "tokens.toml", f"caller_{n}", ["run"]) for n in range(10)]
    boss = add_token(tmp_path / "tokens.toml", "boss", ["admin"])
    server = served(*LIGHT, "--tokens", "tokens.toml", "--waiting", "5000")
    found = asyncio.run(_load(server, tokens, boss))
    print(f"\n{found}")
    assert found["runs"] == found["distinct"] == 2000 and found["states"] == {"done": 2000}
    assert all(0.9 <= share <= 1.1 for share in found["shares"])
    assert found["grown"] <= 1.1
    assert found["stored_p99"] <= 10 * found["stored_p50"]


async def _load(server: ServerProcess, tokens: list[str], boss: str) -> dict[str, Any]:
    """200 callers at a time, ten requests each, of light nodes; then 400 of what is stored."""
    ended: list[tuple[str, str, str]] = []
    memory: list[int] = []
    limits = httpx2.Limits(max_connections=250, max_keepalive_connections=250)
    async with httpx2.AsyncClient(base_url=server.url, timeout=300, limits=limits) as client:

        async def submit(caller: int, number: int) -> str:
            headers = {"authorization": f"Bearer {tokens[caller]}"}
            answer = await client.post("/api/graphs/sum/runs", json={"first": number}, headers=headers)
            assert answer.status_code == 202, answer.text
            id: str = answer.json()["id"]
            return id

        async def wait(caller: int, id: str) -> None:
            headers = {"authorization": f"Bearer {tokens[caller]}"}
            run: dict[str, Any] = {"state": "queued"}
            while run["state"] in ("queued", "running"):
                run = (await client.get(f"/api/runs/{id}?wait=200", headers=headers)).json()
            ended.append((run["caller"], run["id"], run["state"]))
            if len(ended) % 50 == 0:
                memory.append(server.memory)

        async def call(worker: int) -> None:
            caller = worker % 10
            for turn in range(10):
                await wait(caller, await submit(caller, worker * 1000 + turn))

        began = time.perf_counter()
        await asyncio.gather(*(call(worker) for worker in range(200)))
        seconds = time.perf_counter() - began
        stored = []

        async def again(worker: int) -> None:
            for turn in range(20):
                at = time.perf_counter()
                headers = {"authorization": f"Bearer {tokens[worker % 10]}"}
                body = {"first": worker * 1000 + turn % 10}
                answer = await client.post("/api/graphs/sum/runs?wait=60", json=body, headers=headers)
                stored.append(time.perf_counter() - at)
                assert answer.json()["result"]["ran"] == []

        await asyncio.gather(*(again(worker) for worker in range(20)))
        metrics = (await client.get("/metrics", headers={"authorization": f"Bearer {boss}"})).text
        assert re.search(r"weft_runs_total\{[^}]*done[^}]*\} 2400", metrics)
    half = Counter(caller for caller, _, _ in ended[: len(ended) // 2])
    stored.sort()
    return {
        "runs": len(ended),
        "distinct": len({id for _, id, _ in ended}),
        "states": dict(Counter(state for _, _, state in ended)),
        "seconds": round(seconds, 1),
        "shares": sorted(round(count * 10 / (len(ended) // 2), 3) for count in half.values()),
        "megabytes": [round(one / 1e6, 1) for one in memory[::4]],
        "grown": round(memory[-1] / memory[3], 3),
        "stored_p50": round(stored[len(stored) // 2], 4),
        "stored_p99": round(stored[int(len(stored) * 0.99)], 4),
    }


def test_the_embedded_model_serves_100_requests_and_shows_the_first_event_at_once(
    served: Callable[..., ServerProcess],
) -> None:
    server = served()
    firsts: list[float] = []
    states: list[str] = []
    lock = threading.Lock()
    client = httpx2.Client(timeout=600)  # one for all: to make one takes longer than an answer
    path = f"{server.url}/api/graphs/text_to_image/runs"

    def call(seed: int) -> None:
        began, first = time.perf_counter(), None
        body = {"seed": seed, "steps": 2}
        with client.stream("POST", path, json=body, headers={"Accept": "text/event-stream"}) as answer:
            for line in answer.iter_lines():
                if line.startswith("data: "):
                    first = first or time.perf_counter() - began
                    last = json.loads(line[6:])
        with lock:
            firsts.append(first or 0.0)
            states.append(last["run"]["state"])

    server.post("/api/graphs/text_to_image/runs?wait=200", {"seed": 10**6, "steps": 1})  # the model is loaded then

    def calls(caller: int) -> None:
        for turn in range(10):
            call(caller * 10 + turn)

    threads = [threading.Thread(target=calls, args=(caller,)) for caller in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    firsts.sort()
    print(f"\n100 of the embedded model: first event p50 {firsts[50] * 1000:.0f} ms, p95 {firsts[95] * 1000:.0f} ms")
    assert states == ["done"] * 100 and firsts[95] <= 0.5


def test_the_example_of_the_readme_runs_on_a_server_by_its_first_line(
    served: Callable[..., ServerProcess], tmp_path: Path
) -> None:
    server = served()
    example = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[0]
    first, rest = example.split("\n", 1)
    assert first == "from weft.engine import Engine, Graph"
    (tmp_path / "example.py").write_text(f"from weft.engine.client import Graph, Remote as Engine\n{rest}")
    environment = {"WEFT_SERVER": server.url, "PATH": "", "PYTHONPATH": str(ROOT / ".typing"), "WEFT_CONFIG": ""}
    command = [sys.executable, "example.py"]
    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    print(ended.stdout)
    assert ended.stdout.startswith("done") and (tmp_path / "output" / "landscape_0001.png").is_file()
