"""Jobs are shown as they go, with what they published; an administrator changes them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.engine.serve.conftest import Make, client_of
from weft.engine.farm import load
from weft.engine.farm.submit import submit
from weft.engine.farm.work.job_facts import Setup
from weft.engine.farm.work.worker import Worker


@pytest.fixture
def client(make: Make, tmp_path: Path) -> Iterator[TestClient]:
    """A caller of a server that shows a job of three items, which nobody works at yet."""
    file = tmp_path / "graphs" / "job.json"
    sweep = {"first": [1, 2, 3]}
    file.write_text(json.dumps({"weft_job": 1, "graph": "sum.json", "sweep": sweep}))
    setup = Setup(store=str(tmp_path / "store"), device="cpu", nodes=(str(tmp_path / "nodes.py"),))
    submit(load(file), tmp_path / "jobs" / "sums", setup)
    with client_of(make(jobs=(tmp_path / "jobs",))) as made:
        yield made


def test_a_job_is_shown_before_and_after_its_items_are_worked(client: TestClient, tmp_path: Path) -> None:
    (job,) = client.get("/api/jobs").json()["jobs"]
    assert (job["name"], job["state"], job["counts"]) == ("sums", "running", {"waiting": 3})
    Worker(tmp_path / "jobs" / "sums").work()
    shown = client.get("/api/jobs/sums").json()
    assert shown["state"] == "finished" and [one["state"] for one in shown["items"]] == ["done"] * 3
    items = client.get("/api/jobs/sums/published").json()["items"]
    assert [one["outputs"]["total"]["value"] for one in items] == [4, 5, 6]
    picture = client.get(items[0]["files"][0]["url"])
    assert (picture.content[:4], picture.headers["content-type"]) == (b"\x89PNG", "image/png")
    one = client.get("/api/jobs/sums/items/1").json()
    assert (one["item"]["state"], one["published"]["outputs"]["total"]["value"]) == ("done", 5)
    assert client.get("/api/jobs/sums/items/9").status_code == 404
    assert "node_finished" in client.get("/api/jobs/sums/logs/1").json()["attempts"][0]


def test_of_a_large_job_a_part_is_shown(client: TestClient, tmp_path: Path) -> None:
    Worker(tmp_path / "jobs" / "sums").work()
    part = client.get("/api/jobs/sums", params={"from": 1, "limit": 1, "state": "done"}).json()
    assert (part["listed"], [one["number"] for one in part["items"]]) == (3, [1])
    assert client.get("/api/jobs/sums", params={"state": "failed"}).json()["items"] == []
    published = client.get("/api/jobs/sums/published", params={"from": 2, "limit": 5}).json()
    assert (published["listed"], [one["number"] for one in published["items"]]) == (3, [2])


def test_what_is_published_is_read_again_where_it_was_written(client: TestClient, tmp_path: Path) -> None:
    Worker(tmp_path / "jobs" / "sums").work()
    path = "/api/gallery?job=sums"
    assert client.get(path).json()["total"] == client.get(path).json()["total"] == 3
    picture = next((tmp_path / "jobs" / "sums").glob("*.png"))
    picture.write_bytes(b"half")
    assert client.get(path).json()["total"] == 2
    sidecar = next((tmp_path / "jobs" / "sums").glob("*.sidecar.json"))
    sidecar.write_bytes(b"{}")
    assert client.get(path).json()["total"] < 3


def test_a_job_is_paused_and_resumed(client: TestClient) -> None:
    assert client.post("/api/jobs/sums/pause").json()["state"] == "paused"
    assert client.post("/api/jobs/sums/cancel").json()["counts"] == {"cancelled": 3}
    assert client.post("/api/jobs/sums/resume").json()["counts"] == {"waiting": 3}
    assert client.post("/api/jobs/sums/explode").status_code == 404


@pytest.mark.parametrize("name", [".farm/ledger.sqlite", "../graphs/sum.json", "%2e%2e/graphs/sum.json", "none.png"])
def test_no_file_is_given_but_published_ones(client: TestClient, name: str) -> None:
    assert client.get(f"/api/jobs/sums/files/{name}").status_code == 404
