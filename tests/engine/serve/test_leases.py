"""What a broken or hostile worker can do: with a lease of its own, with that of another one, too late, too much."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.engine.serve.conftest import READ, SUM, Make, client_of, until
from weft.engine.keys import digest_bytes
from weft.engine.running.delivery import versions
from weft.engine.serve.callers import Callers, add_token
from weft.engine.serve.seen_workers import type_version
from weft.engine.serve.service import Service

Headers = Mapping[str, str]
Given = tuple[Callers, dict[str, dict[str, str]]]


@pytest.fixture
def given(tmp_path: Path) -> Given:
    """Callers, and the headers of each."""
    file = tmp_path / "tokens.toml"
    scopes = {"user": ["run", "graphs"], "one": ["work"], "two": ["work"], "boss": ["admin"]}
    made = {name: {"authorization": f"Bearer {add_token(file, name, some)}"} for name, some in scopes.items()}
    return Callers.load(file), made


@pytest.fixture
def service(make: Make, given: Given) -> Service:
    """A server that runs nothing, whose leases are short and whose files are small."""
    return make(given[0], at_once=0, lease=0.6, result_bytes=1000)


@pytest.fixture
def client(service: Service, given: Given) -> Iterator[TestClient]:
    """A worker of it, by the name `one`."""
    with client_of(service, **given[1]["one"]) as made:
        yield made


@pytest.fixture
def user(client: TestClient, service: Service, given: Given) -> TestClient:
    """One who submits runs."""
    return TestClient(client.app, base_url=str(client.base_url), headers=dict(given[1]["user"]))


def worker(service: Service, instance: str = "a" * 16, **others: Any) -> dict[str, Any]:
    types = {name: type_version(one) for name, one in service.engine.catalog.items()}
    return {"name": "w", "instance": instance, "versions": versions(), "types": types, **others}


def submitted(user: TestClient, **parameters: Any) -> str:
    answer = user.post("/api/graphs/sum/runs", json={"first": 1, **parameters})
    assert answer.status_code == 202
    id: str = answer.json()["id"]
    return id


def leased(client: TestClient, service: Service, headers: Headers | None = None) -> str:
    answer = client.post("/api/leases?wait=5", json=worker(service), headers=headers)
    assert answer.status_code == 200, answer.text
    return f"/api/leases/{answer.json()['lease']}"


def ending(**others: Any) -> dict[str, Any]:
    result = {"status": "done", "outputs": {}, "files": [], "failures": [], "ran": [], "cached": [], "seconds": 0.1}
    return {"state": "done", "result": {**result, "unstable": [], "warnings": [], **others}, "error": None}


def refusal(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def test_only_workers_with_their_token_and_the_same_versions_get_runs(
    client: TestClient, user: TestClient, service: Service
) -> None:
    submitted(user)
    assert refusal(user.post("/api/leases", json=worker(service))) == (403, "scope-missing")
    nobody = {"authorization": "Bearer nothing"}
    assert refusal(client.post("/api/leases", json=worker(service), headers=nobody)) == (401, "no-token")
    assert client.get("/api/runs").json()["runs"] == [] and client.get("/api/graphs").status_code == 403
    other = worker(service, versions={**versions(), "torch": "1.0"})
    answer = client.post("/api/leases", json=other)
    assert refusal(answer) == (409, "worker-differs") and "torch is 1.0" in answer.json()["title"]
    wrongs: list[Any] = [[], {}, worker(service, "../x"), worker(service, name="a/b"), worker(service, types=[1])]
    for wrong in wrongs:
        assert client.post("/api/leases", json=wrong).status_code == 422
    none = worker(service, types={})
    assert client.post("/api/leases?wait=0.2", json=none).status_code == 204
    assert client.post("/api/leases?wait=0.2", json=worker(service)).status_code == 204  # the same instance


def test_a_file_has_its_digest_a_name_and_a_size_or_is_refused(
    client: TestClient, user: TestClient, service: Service
) -> None:
    run = submitted(user)
    lease, content = leased(client, service), b"x" * 600
    digest = digest_bytes(content)

    def put(name: str, content: bytes, digest: str) -> Any:
        return client.put(f"{lease}/files/{name}?digest={digest}", content=content)

    assert refusal(put("dot.png", content, digest_bytes(b"other"))) == (422, "wrong-digest")
    assert refusal(put("dot.png", b"y" * 1001, digest_bytes(b"y" * 1001))) == (413, "too-large")
    assert refusal(put("dot.png", content, "../x")) == (400, "malformed-digest")
    for name in ("..%2F..%2Fqueue.sqlite", "%2Fetc%2Fx", "a%5Cb", "con"):
        assert refusal(put(name, content, digest)) == (422, "malformed-path")
    assert put("dot.png", content, digest).status_code == 201 and put("dot.png", content, digest).status_code == 201
    assert refusal(put("b.png", content, digest)) == (413, "too-large")
    assert refusal(put("dot.png/b.png", b"1", digest_bytes(b"1"))) == (422, "malformed-path")
    folder = service.folder("runs") / run
    assert [path.name for path in folder.iterdir()] == ["dot.png"] and not [*service.folder("parts").iterdir()]
    (folder / "left.png").write_bytes(b"of an earlier attempt")
    files = [{"name": "dot.png", "digest": digest_bytes(b"other")}]
    assert refusal(client.post(f"{lease}/end", json=ending(files=files))) == (422, "wrong-digest")
    files[0]["digest"] = digest
    assert client.post(f"{lease}/end", json=ending(files=files)).json() == {"state": "done"}
    found = user.get(f"/api/runs/{run}").json()["result"]["files"]
    assert [(one["name"], one["bytes"], one["media_type"]) for one in found] == [("dot.png", 600, "image/png")]
    assert [path.name for path in folder.iterdir()] == ["dot.png"]


def test_a_lease_is_its_workers_alone_and_what_comes_late_is_refused(
    client: TestClient, user: TestClient, service: Service, given: Given
) -> None:
    run = submitted(user)
    late = leased(client, service)
    two = given[1]["two"]
    for path in ("", "/end"):
        assert refusal(client.post(f"{late}{path}", json=ending(), headers=two)) == (410, "lease-lost")
    assert client.get(f"{late}/inputs/x", headers=two).status_code == 410
    until(lambda: service.queue.counts().get("queued"))  # it was silent
    lease = leased(client, service, two)
    assert refusal(client.post(late, json={"events": []})) == (410, "lease-lost")
    assert refusal(client.put(f"{late}/files/a.png?digest={digest_bytes(b'')}", content=b"")) == (410, "lease-lost")
    assert client.post(f"{lease}/end", json=ending(), headers=two).json() == {"state": "done"}
    assert refusal(client.post(f"{late}/end", json=ending())) == (410, "lease-lost")
    assert client.post(f"{lease}/end", json=ending(), headers=two).json() == {"state": "done"}  # it is sent again
    found = user.get(f"/api/runs/{run}").json()
    assert (found["attempt"], found["worker"], found["state"]) == (2, "two/w", "done")
    assert client.get("/api/leases/..%2Fx/inputs/y").status_code in (404, 410)


def test_events_and_ends_of_another_form_are_refused(client: TestClient, user: TestClient, service: Service) -> None:
    run = submitted(user)
    lease = leased(client, service)
    steps = [[n, {"event": "node_progress", "node": "sum", "type": "Add", "step": n, "steps": 9}] for n in (1, 2)]
    assert client.post(lease, json={"after": 0, "events": steps}).json()["have"] == 2
    assert client.post(lease, json={"after": 1, "events": steps[1:]}).json()["have"] == 2  # it is sent again
    assert client.post(lease, json={"after": 7, "events": [[8, steps[0][1]]]}).json()["have"] == 2  # a gap
    assert len(service.logs.of(run).after(0)) == 3
    ended = {"event": "ended", "run": {}}
    stray = {"event": "artifact", "node": "dot", "type": "Dot", "path": "../../queue.sqlite", "media_type": "x"}
    for wrong in ([[3, ended]], [[3, stray]], [3], ["x"], [[3, {}]]):
        assert client.post(lease, json={"after": 2, "events": wrong}).status_code == 422
    failure = {"state": "failed", "result": None, "error": None}
    bodies: list[Any] = [[], {}, {"state": "queued"}, failure, ending(files=[{"name": "../x", "digest": "0" * 64}])]
    for body in bodies:
        assert client.post(f"{lease}/end", json=body).status_code == 422
    others: list[dict[str, Any]] = [
        {"ran": [1]},
        {"outputs": []},
        {"failures": [{}]},
        {"seconds": "1"},
        {"status": "failed"},
    ]
    for more in others:
        assert client.post(f"{lease}/end", json=ending(**more)).status_code == 422
    assert client.post(f"{lease}/end", json=ending(extra="x")).status_code == 200
    assert "extra" not in user.get(f"/api/runs/{run}").json()["result"]


def test_a_worker_reads_the_files_of_its_graph_alone(client: TestClient, user: TestClient, service: Service) -> None:
    picture = user.post("/api/files", content=b"\x89PNG\r\n\x1a\n1").json()["name"]
    other = user.post("/api/files", content=b"\x89PNG\r\n\x1a\n2").json()["name"]
    user.post("/api/runs", json={"graph": READ, "parameters": {"path": picture}})
    given = client.post("/api/leases?wait=5", json=worker(service)).json()
    assert other not in str(given) and picture not in given["graph"]
    [named] = given["inputs"]
    address = f"/api/leases/{given['lease']}/inputs"
    assert digest_bytes(client.get(f"{address}/{named['name']}").content) == named["digest"]
    for name in (picture, other, "queue.sqlite", "..%2Fqueue.sqlite"):
        assert client.get(f"{address}/{name}").status_code == 404
    assert client.get(f"/api/files/{other}").status_code == 403


def test_a_run_that_is_kept_alive_for_ever_ends_by_the_server(make: Make) -> None:
    service = make(at_once=0, lease=0.3, time_limit=0.3)
    with client_of(service) as local:
        run = submitted(local)
        lease = leased(local, service)
        until(lambda: local.post(lease, json={}).status_code == 410)
        found = local.get(f"/api/runs/{run}").json()
        assert (found["state"], found["error"]["code"]) == ("failed", "time-limit")


def test_a_run_that_silences_every_worker_has_failed(client: TestClient, user: TestClient, service: Service) -> None:
    run = submitted(user)
    for _ in range(3):
        leased(client, service)
        until(lambda: not service.leases.workers()[0]["runs"])
    found = user.get(f"/api/runs/{run}").json()
    assert (found["state"], found["error"]["code"]) == ("failed", "worker-ended")


def test_a_cancelled_run_is_so_whatever_its_worker_does(
    client: TestClient, user: TestClient, service: Service, given: Given
) -> None:
    run = submitted(user)
    lease = leased(client, service)
    service.dispatcher.cancel(run)
    assert client.post(f"{lease}?wait=20", json={}).json()["stop"] is True
    assert client.post(f"{lease}/end", json={"state": "returned"}).json() == {"state": "cancelled"}
    text = client.get("/metrics", headers=given[1]["boss"]).text
    assert 'weft_leases_total{end="returned"} 1.0' in text and "weft_workers 1.0" in text
    assert client.get("/api/server", headers=given[1]["boss"]).json()["workers"][0]["name"] == "one/w"
    assert client.get("/api/server").json()["workers"] == []


def test_leases_outlast_their_server(make: Make) -> None:
    first = make(at_once=0)
    with client_of(first) as local:
        run = submitted(local)
        lease = leased(local, first)
        assert local.post(lease, json={"events": [[1, {"event": "run_started"}]]}).json()["have"] == 1
    second = make(at_once=0)
    with client_of(second) as local:
        assert local.post(lease, json={"after": 1, "events": []}).json()["have"] == 0
        assert local.post(f"{lease}/end", json=ending()).status_code == 200
        assert local.get(f"/api/runs/{run}").json()["state"] == "done"


def test_models_that_only_workers_have_are_no_problem_where_nothing_is_run(make: Make) -> None:
    graph = {
        "weft": 1,
        "nodes": {"c": {"type": "LoadCheckpoint", "inputs": {"source": "nobody/has-this"}}},
        "outputs": {"vae": {"link": "c.vae"}},
    }
    for at_once, status in ((8, 422), (0, 202)):
        with client_of(make(at_once=at_once)) as local:
            assert local.post("/api/runs", json={"graph": graph}).status_code == status
            assert local.post("/api/runs", json={"graph": {**SUM, "nodes": {}}}).status_code == 422


def test_workers_get_nothing_that_the_server_has_in_its_store(make: Make, given: Given) -> None:
    with client_of(make(given[0], at_once=1), **given[1]["user"]) as user:
        service: Service = user.app.app.state.service  # type: ignore[attr-defined]
        assert user.post("/api/graphs/sum/runs?wait=60", json={"first": 4}).status_code == 200
        busy = user.post("/api/graphs/slow/runs", json={"steps": 5000}).json()
        until(lambda: user.get(busy["url"]).json()["state"] == "running")
        for _ in range(5):
            run = user.post("/api/graphs/sum/runs", json={"first": 4}).json()
            answer = user.post("/api/leases", json=worker(service), headers=given[1]["one"])
            ended = user.get(f"{run['url']}?wait=60").json()
            assert (answer.status_code, ended["state"], ended["worker"]) == (204, "done", None)
        user.post(f"{busy['url']}/cancel")


def test_of_equal_runs_workers_get_one_at_a_time_unless_they_may_differ(make: Make, given: Given) -> None:
    service = make(given[0], at_once=0)
    now = {"weft": 1, "nodes": {"now": {"type": "Now", "inputs": {}}}, "outputs": {"now": {"link": "now"}}}
    with client_of(service, **given[1]["one"]) as client:
        user = TestClient(client.app, base_url=str(client.base_url), headers=dict(given[1]["user"]))
        submitted(user), submitted(user), submitted(user, first=2)
        first = leased(client, service)
        leased(client, service)
        assert client.post("/api/leases?wait=0.3", json=worker(service)).status_code == 204
        assert client.post(f"{first}/end", json={"state": "returned"}).status_code == 200
        leased(client, service)
        for _ in range(2):
            assert user.post("/api/runs", json={"graph": now}).status_code == 202
        leased(client, service), leased(client, service)


def test_a_recipe_is_two_digests_and_a_worker_names_no_result_of_another_request(
    client: TestClient, user: TestClient, service: Service
) -> None:
    ones = [submitted(user, first=n) for n in (1, 2)]
    recipe: dict[str, Any] = {"recipe": {"key": "1" * 64, "files": "2" * 64}}
    wrongs: list[Any] = [[], {"key": "x", "files": ""}, {"key": "1" * 64}]
    for id in ones:
        lease = leased(client, service)
        assert client.post(f"{lease}/plan", json=recipe).json() == {"known": False}
        for wrong in wrongs:
            assert client.post(f"{lease}/plan", json={"recipe": wrong}).status_code == 422
            assert client.post(f"{lease}/end", json={**ending(), "recipe": wrong}).status_code == 422
        outputs = {"total": {"value": id}}
        assert client.post(f"{lease}/end", json={**ending(outputs=outputs), **recipe}).json() == {"state": "done"}
