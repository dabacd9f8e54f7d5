"""Who may do what: tokens and scopes, the own runs and those of others, hosts and origins."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from tests.engine.serve.conftest import SUM, Make, client_of, run
from tests.refusals import refused
from weft.engine.serve.callers import Callers, Quota, add_token
from weft.engine.serve.http_server import check_address
from weft.engine.serve.web_app import web_app

Headers = dict[str, str]


@pytest.fixture
def tokens(tmp_path: Path) -> tuple[Callers, Mapping[str, Headers]]:
    """Three callers, and the headers of each."""
    file = tmp_path / "tokens.toml"
    scopes = {"one": ["run"], "two": ["run", "graphs"], "boss": ["admin"]}
    given = {name: {"authorization": f"Bearer {add_token(file, name, some)}"} for name, some in scopes.items()}
    return Callers.load(file), given


def test_a_token_is_kept_as_its_digest_and_shown_once(tmp_path: Path) -> None:
    file = tmp_path / "tokens.toml"
    token = add_token(file, "one", ["run"])
    assert token not in file.read_text() and hashlib.sha256(token.encode()).hexdigest() in file.read_text()
    assert file.stat().st_mode & 0o077 == 0
    with refused("name-taken", "one"):
        add_token(file, "one", ["run"])
    with refused("unknown-choice", "fly"):
        add_token(file, "two", ["fly"])
    file.write_text(file.read_text() + "waiting = 3\nshare = 2.0\n")
    assert Callers.load(file).quota("one") == Quota(waiting=3, share=2.0)
    file.write_text(file.read_text() + "wating = 3\n")
    with refused("malformed-setting", "wating"):
        Callers.load(file)


def test_a_server_without_tokens_answers_the_loopback_alone(make: Make) -> None:
    service = make()
    with refused("tokens-needed", "0.0.0.0"):
        check_address(service, "0.0.0.0")
    check_address(service, "127.0.0.1")


def test_scopes_decide_what_a_caller_may(make: Make, tokens: tuple[Callers, Mapping[str, Headers]]) -> None:
    callers, given = tokens
    with client_of(make(callers)) as client:
        assert client.get("/api/graphs").status_code == 401 and client.get("/healthz").status_code == 200
        for wrong in ("Bearer nothing", "Basic bm90aGluZw==", "Bearer", given["one"]["authorization"][:-1]):
            assert client.get("/api/graphs", headers={"authorization": wrong}).status_code == 401
        token = given["one"]["authorization"].partition(" ")[2]
        assert client.get(f"/api/graphs?token={token}&access_token={token}").status_code == 401
        post = {"graph": SUM, "parameters": {"first": 1}}
        assert client.post("/api/runs", json=post, headers=given["one"]).status_code == 403
        assert client.post("/api/runs", json=post, headers=given["two"]).status_code == 202
        assert (
            client.post("/api/graphs/sum/runs?priority=1", json={"first": 1}, headers=given["two"]).status_code == 403
        )
        assert client.get("/metrics", headers=given["two"]).status_code == 403
        assert "weft_queue_runs" in client.get("/metrics", headers=given["boss"]).text


def test_runs_of_others_are_not_there(make: Make, tokens: tuple[Callers, Mapping[str, Headers]]) -> None:
    callers, given = tokens
    with client_of(make(callers)) as client:
        client.headers.update(given["one"])
        own = run(client, "sum", first=1)
        file = own["result"]["files"][0]["url"]
        for address in (own["url"], file, f"{own['url']}/events", f"{own['url']}/graph"):
            assert client.get(address).status_code == 200
            assert client.get(address, headers=given["two"]).status_code == 404
            assert client.get(address, headers=given["boss"]).status_code == 200
        assert client.post(f"{own['url']}/cancel", headers=given["two"]).status_code == 404
        assert client.get("/api/runs?caller=one", headers=given["two"]).status_code == 403
        assert client.get("/api/runs", headers=given["two"]).json()["runs"] == []
        key = {"idempotency-key": "k"}
        mine = client.post("/api/graphs/sum/runs", json={"first": 1}, headers=key).json()["id"]
        other = client.post("/api/graphs/sum/runs", json={"first": 1}, headers={**given["two"], **key}).json()["id"]
        assert mine != other


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example"}, 421),
        ({"host": "localhost.evil.example:8420"}, 421),
        ({"host": "localhost@evil.example"}, 421),
        ({"host": ""}, 421),
        ({"host": "127.0.0.1:1"}, 200),
        ({"host": "[::1]:8420"}, 200),
        ({"host": "studio.example"}, 200),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://localhost:9999"}, 403),
        ({"origin": "http://localhost:8420"}, 200),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}, 403),
        ({"sec-fetch-site": "same-origin"}, 200),
    ],
)
def test_hosts_and_origins_are_those_of_the_server(make: Make, headers: Headers, status: int) -> None:
    client = TestClient(web_app(make(hosts=("studio.example",))), base_url="http://localhost:8420")
    assert client.get("/api/server", headers=headers).status_code == status


def test_sockets_are_looked_at_as_requests_are(make: Make, tokens: tuple[Callers, Mapping[str, Headers]]) -> None:
    callers, given = tokens
    with client_of(make(callers)) as client:
        address = client.post("/api/graphs/sum/runs", json={"first": 1}, headers=given["one"]).json()["url"]
        local = {"host": "localhost"}
        token = given["one"]["authorization"].partition(" ")[2]
        with client.websocket_connect(
            f"{address}/socket", subprotocols=["weft", f"weft.bearer.{token}"], headers=dict(local)
        ) as socket:
            assert socket.accepted_subprotocol == "weft" and socket.receive_json()["event"] == "queued"
        foreign = {**given["one"], **local, "origin": "http://evil"}
        for headers in (local, {**given["two"], **local}, foreign):
            with pytest.raises(WebSocketDisconnect), client.websocket_connect(f"{address}/socket", headers=headers):
                pass


def test_every_answer_says_what_browsers_may_do_with_it(make: Make) -> None:
    with client_of(make()) as client:
        for address in ("/healthz", "/api/server", "/api/none", "/api/runs/0"):
            headers = client.get(address).headers
            assert "default-src 'none'" in headers["content-security-policy"]
            assert headers["x-content-type-options"] == "nosniff" and headers["x-request-id"]
            assert "access-control-allow-origin" not in headers and "server" not in headers
        assert client.get("/healthz", headers={"x-request-id": "mine"}).headers["x-request-id"] == "mine"
        assert client.get("/healthz", headers={"x-request-id": "a b"}).headers["x-request-id"] != "a b"
