"""What the page asks for: a gallery, comparisons, drawings with their boxes, forms of results, devices."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.engine.serve.conftest import SLOW, SUM, Make, client_of, run
from weft.engine.farm import load
from weft.engine.farm.submit import submit
from weft.engine.farm.work.job_facts import Setup
from weft.engine.farm.work.worker import Worker
from weft.engine.serve.callers import Caller, Callers, digest_of


@pytest.fixture
def client(make: Make, tmp_path: Path) -> Iterator[TestClient]:
    """A caller of a server with a job of three items that have ended."""
    file = tmp_path / "graphs" / "job.json"
    file.write_text(json.dumps({"weft_job": 1, "graph": "sum.json", "sweep": {"first": [1, 2, 3]}}))
    setup = Setup(store=str(tmp_path / "store"), device="cpu", nodes=(str(tmp_path / "nodes.py"),))
    submit(load(file), tmp_path / "jobs" / "sums", setup)
    Worker(tmp_path / "jobs" / "sums").work()
    with client_of(make(jobs=(tmp_path / "jobs",))) as made:
        yield made


def gallery(client: TestClient, **query: object) -> list[dict[str, Any]]:
    answer = client.get("/api/gallery", params={name: str(value) for name, value in query.items()})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["results"]
    return found


def test_results_of_runs_and_jobs_are_found_by_graph_job_seed_and_score(client: TestClient) -> None:
    sum_run, slow_run = run(client, "sum", first=9), run(client, "slow", steps=1, seed=7)
    assert len(gallery(client)) == 5
    assert [one["place"] for one in gallery(client, graph="sum")] == [f"runs/{sum_run['id']}"]
    assert [one["place"] for one in gallery(client, seed=7)] == [f"runs/{slow_run['id']}"]
    assert [one["place"] for one in gallery(client, job="sums", score="total")] == [f"jobs/sums/{n}" for n in (2, 1, 0)]
    assert [one["scores"]["total"] for one in gallery(client, score="total", order="least")[:4]] == [4, 5, 6, 12]
    (picture,) = gallery(client, job="sums", limit=1)[0]["files"]
    assert client.get(picture["url"]).content[:4] == b"\x89PNG"


def test_two_results_are_compared_by_settings_and_nodes(client: TestClient) -> None:
    done = run(client, "sum", first=9)
    query = f"first=runs/{done['id']}&second=jobs/sums/0"
    found = client.get(f"/api/comparison?{query}").json()
    assert found["settings"] == [{"name": "first", "first": 9, "second": 1}]
    assert [(one["node"], one["kind"]) for one in found["changes"]] == [("sum", "changed")]
    for wrong in ("runs/0", "jobs/sums/9", "jobs/../0", "elsewhere"):
        assert client.get(f"/api/comparison?first=runs/{done['id']}&second={wrong}").status_code == 404


def test_a_drawing_has_a_box_for_each_node_within_the_picture(client: TestClient) -> None:
    posted = client.post("/api/runs?wait=60", json={"graph": SUM, "parameters": {"first": 2}}).json()
    for path in ("/api/graphs/sum/drawing", f"/api/runs/{posted['id']}/drawing"):
        drawn = client.get(path).json()
        boxes = {box["title"]: box for box in drawn["boxes"]}
        assert {*boxes} == {"sum", "dot", "total"} and boxes["dot"]["links"] == {"level": ["sum.int"]}
        assert all(box["x"] >= 0 and box["x"] + box["width"] <= drawn["width"] for box in boxes.values())
        assert drawn["svg"].startswith("<svg")


def test_a_result_of_a_graph_that_is_not_the_servers_is_run_again_with_a_change(client: TestClient) -> None:
    posted = client.post("/api/runs?wait=60", json={"graph": SLOW, "parameters": {"steps": 1, "seed": 5}}).json()
    for place, name, value in ((f"runs/{posted['id']}", "seed", 5), ("jobs/sums/2", "first", 3)):
        form = client.get(f"/api/{place}/form").json()
        assert form["parameters"]["properties"][name]["default"] == value
        again = client.post("/api/runs?wait=60", json={"graph": form["document"], "parameters": {name: 4}}).json()
        assert again.get("state") == "done", again


def test_devices_are_listed_with_the_weights_that_they_hold(client: TestClient) -> None:
    found = client.get("/api/devices").json()
    assert found["loaded"] == bool(found["devices"])
    assert all(one["weights"] == sum(held["size"] for held in one["holdings"]) for one in found["devices"])


def test_results_of_others_are_seen_by_those_alone_who_may(make: Make) -> None:
    callers = {
        digest_of("a"): Caller("a", frozenset({"run"})),
        digest_of("b"): Caller("b", frozenset({"run"})),
        digest_of("c"): Caller("c", frozenset({"results"})),
    }
    with client_of(make(Callers(callers)), authorization="Bearer a") as first:
        done = run(first, "sum", first=2)
        assert len(gallery(first)) == 1
        for token, status, count in (("b", 404, 0), ("c", 200, 1)):
            headers = {"authorization": f"Bearer {token}"}
            query = f"first=runs/{done['id']}&second=runs/{done['id']}"
            assert first.get(f"/api/comparison?{query}", headers=headers).status_code == status
            assert first.get(f"/api/runs/{done['id']}/form", headers=headers).status_code == status
            assert len(first.get("/api/gallery", headers=headers).json()["results"]) == count
        assert first.get("/api/devices").status_code == 403


def test_a_query_that_makes_no_sense_finds_nothing_or_is_refused(client: TestClient) -> None:
    for query in ("graph=%ED%B2%80", "seed=%00", "job=../jobs", "job=%ff"):
        assert client.get(f"/api/gallery?{query}").json()["results"] == []
        assert client.get(f"/api/comparison?first=jobs/{query}/0&second=runs/{query}").status_code == 404
    for query in ("from=-1", "limit=nan", "limit=100000"):
        assert client.get(f"/api/gallery?{query}").status_code == 400
