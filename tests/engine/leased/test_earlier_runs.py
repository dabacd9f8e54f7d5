"""Runs that are answered from earlier ones, of workers whose stores are their own."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.engine.leased.conftest import Work
from tests.engine.serve.conftest import SLOW, SUM, client_of, until
from weft.engine.graph.document import built
from weft.engine.serve.run_recipe import NOTHING, recipe_of
from weft.engine.serve.service import Service
from weft.engine.verdict import SafetyDemand

NOW = {"weft": 1, "nodes": {"now": {"type": "Now", "inputs": {}}}, "outputs": {"now": {"link": "now"}}}

WEIGHT = {
    "weft": 1,
    "nodes": {
        "first": {"type": "FirstWeight", "inputs": {"source": "a.bin"}},
        "dot": {"type": "Dot", "inputs": {"level": {"link": "first"}}},
    },
    "outputs": {"first": {"link": "first"}},
}


@pytest.fixture
def http(url: str, service: Service) -> TestClient:
    """A caller of the server that workers ask."""
    return client_of(service)


def ran(http: TestClient, graph: dict[str, Any], **parameters: Any) -> dict[str, Any]:
    """A run of a graph, by whoever runs it."""
    answer = http.post("/api/runs?wait=20", json={"graph": graph, "parameters": parameters})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    assert found["state"] == "done", found["error"]
    return found


def events_of(service: Service, run: dict[str, Any]) -> list[str]:
    """What happened in a run."""
    return [str(event["event"]) for _, event in service.logs.of(run["id"]).after(0)]


def test_what_a_worker_has_made_is_answered_without_one(http: TestClient, work: Work, service: Service) -> None:
    worker = work()
    first = ran(http, SUM, first=1)
    worker.stop()
    again, seconds = first, list[float]()
    for _ in range(20):
        began = time.monotonic()
        again = ran(http, SUM, first=1)
        seconds.append(time.monotonic() - began)
    assert statistics.median(seconds) < 0.05
    assert again["id"] != first["id"] and (first["worker"], again["worker"]) == ("local/one", None)
    for name in ("outputs", "warnings", "status"):
        assert again["result"][name] == first["result"][name]
    assert again["result"]["ran"] == [] and sorted(again["result"]["cached"]) == ["dot", "sum"]
    [old], [new] = first["result"]["files"], again["result"]["files"]
    assert (old["digest"], old["name"]) == (new["digest"], new["name"]) and old["url"] != new["url"]
    got = http.get(new["url"])
    assert got.content == http.get(old["url"]).content and got.headers["etag"] == f'"{new["digest"]}"'
    kinds = events_of(service, again)
    assert kinds[:2] == ["queued", "run_started"] and kinds[-2:] == ["run_finished", "ended"]
    assert kinds.count("node_cached") == 2 and kinds.count("artifact") == kinds.count("output") == 1


def test_equal_requests_at_once_compute_once(http: TestClient, work: Work) -> None:
    work(), work("two")
    body = {"graph": SLOW, "parameters": {"steps": 30, "seed": 7}}
    runs = [http.post("/api/runs", json=body).json() for _ in range(6)]
    ended = [http.get(f"{run['url']}?wait=20").json() for run in runs]
    assert [run["result"]["outputs"]["seed"]["value"] for run in ended] == [7] * 6
    assert [run["worker"] for run in ended].count(None) == 5


def test_what_changes_from_run_to_run_is_never_answered_from_an_earlier_one(http: TestClient, work: Work) -> None:
    work()
    assert ran(http, NOW)["result"]["outputs"] != ran(http, NOW)["result"]["outputs"]
    uploads = [http.post("/api/files", content=b"\x89PNG\r\n\x1a\n" + more).json()["name"] for more in (b"1", b"2")]
    for _ in range(2):
        for name in uploads:
            graph = {"weft": 1, "nodes": {"read": {"type": "FirstByte", "inputs": {"path": name}}}}
            graph["outputs"] = {"byte": {"link": "read"}}
            run = ran(http, graph)
    assert run["worker"] is None


def test_a_model_that_only_workers_have_counts_by_its_content(http: TestClient, work: Work, tmp_path: Path) -> None:
    models = tmp_path / "worker_one" / "models"
    models.mkdir(parents=True)
    (models / "a.bin").write_bytes(b"1")
    worker = work()
    first, again = ran(http, WEIGHT), ran(http, WEIGHT)
    assert first["result"]["ran"] and again["result"]["ran"] == []
    assert first["result"]["files"][0]["digest"] == again["result"]["files"][0]["digest"]
    until(lambda: len(worker.lines) == 2)
    assert "earlier" in worker.lines[-1]
    (models / "a.bin").write_bytes(b"2")
    assert ran(http, WEIGHT)["result"]["outputs"]["first"]["value"] == ord("2")


def test_a_result_that_a_workers_plan_finds_waits_for_no_device(http: TestClient, work: Work, tmp_path: Path) -> None:
    models = tmp_path / "worker_one" / "models"
    models.mkdir(parents=True)
    (models / "a.bin").write_bytes(b"1")
    work()
    ran(http, WEIGHT)
    slow = http.post("/api/runs", json={"graph": SLOW, "parameters": {"steps": 2000}}).json()
    until(lambda: http.get(slow["url"]).json()["state"] == "running")
    assert ran(http, WEIGHT)["result"]["ran"] == [] and http.get(slow["url"]).json()["state"] == "running"
    (models / "a.bin").write_bytes(b"2")
    other = http.post("/api/runs?wait=1", json={"graph": WEIGHT}).json()
    assert (other["state"], other["attempt"]) == ("queued", 0)
    http.post(f"{slow['url']}/cancel")
    assert http.get(f"{other['url']}?wait=20").json()["result"]["outputs"]["first"]["value"] == ord("2")


@pytest.mark.parametrize("loss", ["gone", "damaged", "forgotten", "distrusted"])
def test_a_result_that_is_not_kept_is_computed_again(http: TestClient, work: Work, service: Service, loss: str) -> None:
    work()
    first = ran(http, SUM, first=1)
    file = service.folder("runs") / first["id"] / first["result"]["files"][0]["name"]
    if loss == "gone":
        file.unlink()
    elif loss == "damaged":
        file.write_bytes(b"x" * first["result"]["files"][0]["bytes"])
    elif loss == "forgotten":
        service.queue.forget(0, 0)
    else:
        object.__setattr__(service.dispatcher.earlier, "trusted", lambda caller: caller != "local")
    again = ran(http, SUM, first=1)
    assert again["worker"] == "local/one"
    assert http.get(again["result"]["files"][0]["url"]).status_code == 200


def test_a_run_that_failed_answers_nothing(http: TestClient, work: Work) -> None:
    work()
    graph = {"weft": 1, "nodes": {"d": {"type": "Divide", "inputs": {"a": 1, "b": 0}}}}
    graph["outputs"] = {"x": {"link": "d"}}
    for _ in range(2):
        run = http.post("/api/runs?wait=20", json={"graph": graph}).json()
        assert (run["state"], run["worker"]) == ("failed", "local/one")


def test_what_is_demanded_of_pictures_is_part_of_a_recipe_and_some_graphs_have_none(service: Service) -> None:
    plan = service.engine.plan(built(SUM).replace({"first": 1}))
    assert recipe_of(plan, None) == recipe_of(service.engine.plan(built(SUM).replace({"first": 1})), None) != NOTHING
    assert len({recipe_of(plan, one).key for one in (None, SafetyDemand("a"), SafetyDemand("a", threshold=0.9))}) == 3
    assert recipe_of(service.engine.plan(built(NOW)), None) == NOTHING
