"""Runs over HTTP: submitted, waited for, followed, cancelled; their files; what is stored is answered at once."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.engine.serve.conftest import SLOW, SUM, Make, client_of, run, until
from weft.engine.serve.service import Service


def events(text: str) -> list[dict[str, Any]]:
    return [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ")]


def test_a_graph_is_run_with_its_parameters_and_gives_files_with_types_digests_and_parts(client: TestClient) -> None:
    done = run(client, "sum", first=2)
    assert done["state"] == "done" and done["result"]["outputs"] == {"total": {"value": 5}}
    (file,) = done["result"]["files"]
    got = client.get(file["url"])
    assert got.content[:4] == b"\x89PNG" and got.headers["content-type"] == "image/png"
    assert len(got.content) == file["bytes"] and got.headers["etag"] == f'"{file["digest"]}"'
    assert client.get(file["url"], headers={"if-none-match": got.headers["etag"]}).status_code == 304
    for given in ('"0", W/' + got.headers["etag"], "*"):
        assert client.get(file["url"], headers={"if-none-match": given}).status_code == 304
    assert client.get(file["url"], headers={"if-none-match": '"0"'}).status_code == 200
    address = f"/api/runs/{done['id']}"
    etag = client.get(address).headers["etag"]
    assert client.get(address, headers={"if-none-match": etag}).status_code == 304
    part = client.get(file["url"], headers={"range": "bytes=1-3"})
    assert (part.status_code, part.content) == (206, b"PNG")
    assert client.get(f"/api/runs/{done['id']}/graph").json()["parameters"]["first"]["default"] == 2


def test_a_graph_that_is_posted_runs_as_one_of_the_server(client: TestClient) -> None:
    answer = client.post("/api/runs?wait=60", json={"graph": SUM, "parameters": {"first": 4}, "only": ["sum"]})
    assert answer.json()["result"]["ran"] == ["sum"] and answer.json()["graph"] is None


def test_events_are_followed_from_the_first_to_the_last_and_from_any_between(client: TestClient) -> None:
    answer = client.post("/api/graphs/sum/runs", json={"first": 7}, headers={"accept": "text/event-stream"})
    found = events(answer.text)
    assert [one["event"] for one in found][:3] == ["queued", "plan", "run_started"]
    assert found[-1]["event"] == "ended" and found[-1]["run"]["state"] == "done"
    assert next(one for one in found if one["event"] == "artifact")["path"] == "dot_0001.png"
    follow = f"/api/runs/{found[-1]['run']['id']}/events"
    assert events(client.get(follow, headers={"last-event-id": str(len(found) - 2)}).text) == found[-2:]
    with client.websocket_connect(follow.replace("events", "socket"), headers={"host": "localhost"}) as socket:
        assert [socket.receive_json()["event"] for _ in found] == [one["event"] for one in found]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/api/leases", "POST"),
        ("OPTIONS", "/api/runs", "GET, HEAD, POST"),
        ("GET", "/api/graphs/more/read/runs", "POST"),
        ("PUT", "/api/graphs/more/read", "GET, HEAD"),
        ("POST", "/", "GET, HEAD"),
    ],
)
def test_an_address_says_which_methods_it_answers(client: TestClient, method: str, path: str, allowed: str) -> None:
    answer = client.request(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)


@pytest.mark.parametrize(
    "query",
    [
        *("graphs/slow/runs?priority=0.5", "graphs/slow/runs?wait=1_0", "graphs/slow/runs?wait=1&wait=2"),
        *("graphs/slow/runs?previews=yes", "runs?state=ended", "runs?limit=1.5", "runs?graph=a&graph=b"),
        "gallery?order=most",
    ],
)
def test_what_a_query_says_is_not_guessed(client: TestClient, query: str) -> None:
    method = "POST" if "slow" in query else "GET"
    answer = client.request(method, f"/api/{query}", json={"steps": 0} if method == "POST" else None)
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed-query")
    assert client.get("/api/runs").json()["runs"] == []


def test_a_key_that_is_empty_or_given_twice_is_refused_since_it_would_be_no_key(client: TestClient) -> None:
    for keys in ([("idempotency-key", "")], [("idempotency-key", "a"), ("idempotency-key", "b")]):
        answer = client.post("/api/graphs/slow/runs", json={"steps": 0}, headers=keys)
        assert (answer.status_code, answer.json()["code"]) == (400, "malformed-key")


def test_previews_come_where_they_are_wanted_and_the_latest_is_kept(client: TestClient) -> None:
    stream = {"accept": "text/event-stream"}
    shown = events(client.post("/api/graphs/slow/runs?previews=1", json={"steps": 20}, headers=stream).text)
    assert any("preview" in one for one in shown if one["event"] == "node_progress")
    plain = events(client.post("/api/graphs/slow/runs", json={"steps": 3, "seed": 1}, headers=stream).text)
    assert not any("preview" in one for one in plain)


def test_a_run_is_cancelled_within_a_step_and_one_that_waits_at_once(make: Make) -> None:
    with client_of(make(at_once=1)) as client:
        first = client.post("/api/graphs/slow/runs", json={"steps": 5000}).json()
        until(lambda: client.get(first["url"]).json()["state"] == "running")
        second = client.post("/api/graphs/slow/runs", json={"steps": 5000, "seed": 1}).json()
        assert client.post(f"{second['url']}/cancel").json()["state"] == "cancelled"
        assert client.post(f"{first['url']}/cancel").json()["state"] == "cancelled"


def test_what_is_stored_is_answered_while_others_compute(make: Make) -> None:
    with client_of(make(at_once=1)) as client:
        run(client, "sum", first=1)
        busy = client.post("/api/graphs/slow/runs", json={"steps": 5000}).json()
        until(lambda: client.get(busy["url"]).json()["state"] == "running")
        again = run(client, "sum", first=1)
        assert again["result"]["ran"] == [] and client.get(busy["url"]).json()["state"] == "running"
        client.post(f"{busy['url']}/cancel")


def test_the_same_request_of_two_callers_is_computed_once(client: TestClient) -> None:
    one = client.post("/api/graphs/slow/runs", json={"steps": 10}).json()
    other = client.post("/api/graphs/slow/runs", json={"steps": 10}).json()
    ended = [client.get(f"{run['url']}?wait=60").json()["result"] for run in (one, other)]
    assert sorted(len(result["ran"]) for result in ended) == [0, 1]


def test_a_key_gives_the_run_that_it_gave_before_and_no_other(client: TestClient) -> None:
    key = {"idempotency-key": "one"}
    first = client.post("/api/graphs/sum/runs", json={"first": 1}, headers=key).json()
    assert client.post("/api/graphs/sum/runs", json={"first": 1}, headers=key).json()["id"] == first["id"]
    other = client.post("/api/graphs/sum/runs", json={"first": 2}, headers=key)
    assert (other.status_code, other.json()["code"]) == (409, "key-reused")


def test_problems_name_nodes_and_inputs_and_no_folders_of_the_server(client: TestClient, service: Service) -> None:
    for body, code in [({"first": "x"}, "wrong-type"), ({"frist": 1}, "unknown-target"), ({}, "missing-input")]:
        answer = client.post("/api/graphs/sum/runs", json=body)
        assert (answer.status_code, answer.json()["code"]) == (422, code)
        assert str(service.options.data.parent) not in answer.text
    assert client.post("/api/graphs/none/runs", json={}).status_code == 404
    assert client.post("/api/graphs/no_graph/runs", json={}).status_code == 404


def test_a_node_that_fails_is_named_in_the_run(client: TestClient) -> None:
    graph = {"weft": 1, "nodes": {"d": {"type": "Divide", "inputs": {"a": 1, "b": 0}}}, "outputs": {"x": {"link": "d"}}}
    failed = client.post("/api/runs?wait=60", json={"graph": graph}).json()
    assert failed["state"] == "failed" and failed["result"]["failures"][0]["node"] == "d"


def test_a_run_that_takes_too_long_has_failed(make: Make) -> None:
    with client_of(make(time_limit=0.2)) as client:
        late = run(client, "slow", steps=500)
    assert (late["state"], late["error"]["code"]) == ("failed", "time-limit")


def test_more_than_may_wait_is_refused_with_a_time_to_come_back(make: Make) -> None:
    with client_of(make(at_once=1, waiting=2)) as client:
        runs = [client.post("/api/graphs/slow/runs", json={"steps": 5000, "seed": seed}) for seed in range(3)]
        assert [one.status_code for one in runs] == [202, 202, 429]
        assert int(runs[-1].headers["retry-after"]) >= 1


def test_checks_and_plans_are_those_of_the_command_line(client: TestClient) -> None:
    checked = client.post("/api/check", json={"graph": "slow", "parameters": {"steps": "x"}}).json()
    assert [one["code"] for one in checked["problems"]] == ["wrong-type"]
    plan = client.post("/api/plan", json={"graph": SLOW, "parameters": {"steps": 1}}).json()
    assert [step["state"] for step in plan["steps"]] == ["run"]


def test_runs_are_listed_the_newest_first_in_pages(client: TestClient) -> None:
    ids = [run(client, "sum", first=number)["id"] for number in range(3)]
    page = client.get("/api/runs?graph=sum&limit=2").json()["runs"]
    rest = client.get(f"/api/runs?graph=sum&before={page[-1]['id']}").json()["runs"]
    assert [one["id"] for one in page + rest] == ids[::-1]


def test_a_server_whose_folder_somebody_empties_goes_on_and_one_whose_queue_is_another_says_so(
    client: TestClient, service: Service
) -> None:
    queue = service.queue.file.path
    before = run(client, "sum", first=1)["id"]
    shutil.rmtree(service.options.data)
    assert client.get("/readyz").status_code == 200 and queue.is_file()
    assert run(client, "sum", first=2)["state"] == "done"
    assert client.post("/api/files", content=b"\x89PNG\r\n\x1a\n").status_code == 201
    assert client.get(f"/api/runs/{before}").json()["state"] == "done"
    Path(shutil.copy(queue, queue.with_name("other"))).replace(queue)
    refused = client.post("/api/graphs/sum/runs", json={"first": 3})
    assert (refused.status_code, refused.json()["code"]) == (503, "queue-unwritable")
    assert client.get("/readyz").status_code == 503 and client.get("/healthz").status_code == 200
    queue.unlink()
    assert run(client, "sum", first=3)["state"] == "done" and client.get("/readyz").status_code == 200


def test_a_store_that_cannot_be_written_costs_no_result_and_is_named_without_its_place(make: Make) -> None:
    service = make()
    folder = Path(str(service.engine.store))
    folder.parent.mkdir(exist_ok=True)
    folder.write_bytes(b"in the place of the store")
    with client_of(service) as client:
        done = run(client, "sum", first=1)
        [warning] = done["result"]["warnings"]
        assert done["state"] == "done" and warning["code"] == "unusable-store" and str(folder) not in warning["message"]
        text = client.get(f"{done['url']}/events").text
        assert '"unusable-store"' in text and str(folder) not in text
        assert client.get(done["result"]["files"][0]["url"]).content[:4] == b"\x89PNG"
