"""Those who hold answers open: how many may, and how those end who do not read."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import closing
from urllib.parse import urlsplit

import pytest
from starlette.testclient import TestClient
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from tests.engine.serve.conftest import Make, answering, client_of, until
from weft.engine.serve import followers, unread_answers
from weft.engine.serve.callers import Caller, Callers, Quota, digest_of
from weft.engine.serve.service import Service

FOLLOWING = (("k", 2), ("m", 9))
"""Callers, whose tokens are their names in upper case, and how many runs each may follow."""


@pytest.fixture
def service(make: Make, monkeypatch: pytest.MonkeyPatch) -> Service:
    """A server with two callers, of whom one may follow two runs; all of them three, but for what everyone may."""
    monkeypatch.setattr(followers, "ALWAYS", 1)
    callers = {
        digest_of(name.upper()): Caller(name, frozenset(["run"]), Quota(following=most)) for name, most in FOLLOWING
    }
    return make(Callers(callers), followers=3)


@pytest.fixture
def address(service: Service) -> Iterator[str]:
    """The address of that server, in a thread."""
    with answering(service) as found:
        yield found


def caller(service: Service, name: str) -> TestClient:
    return client_of(service, authorization=f"Bearer {name.upper()}")


def opened(address: str, path: str, name: str = "k", buffer: int | None = None) -> socket.socket:
    """A connection that has asked for a path."""
    parts, made = urlsplit(address), socket.socket()
    if buffer:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    made.settimeout(10)
    made.connect((parts.hostname, parts.port))
    made.sendall(
        f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nAuthorization: Bearer {name.upper()}\r\n\r\n".encode()
    )
    return made


def test_a_caller_follows_so_many_runs_and_others_follow_theirs(address: str, service: Service) -> None:
    one, other = caller(service, "k"), caller(service, "m")
    run = one.post("/api/graphs/slow/runs", json={"steps": 500}).json()
    first = opened(address, f"{run['url']}/events")
    socket_url = f"{address.replace('http', 'ws')}{run['url']}/socket"
    token = {"Authorization": "Bearer K"}
    with closing(opened(address, f"{run['url']}?wait=60")):
        until(lambda: service.followers.count == 2)
        for path in ("/events", "?wait=5"):
            refused = one.get(run["url"] + path)
            assert (refused.status_code, refused.json()["code"]) == (429, "too-many-followers")
            assert int(refused.headers["retry-after"]) > 0
        before = len(service.queue.listed())
        assert one.post("/api/graphs/sum/runs?wait=5", json={"first": 1}).status_code == 429
        assert len(service.queue.listed()) == before and one.get(run["url"]).status_code == 200
        with pytest.raises(InvalidStatus) as denied:
            connect(socket_url, additional_headers=token)
        assert denied.value.response.status_code == 429
        assert other.post("/api/graphs/sum/runs?wait=20", json={"first": 1}).json()["state"] == "done"
        theirs = other.post("/api/graphs/slow/runs", json={"steps": 500, "seed": 1}).json()
        with closing(opened(address, f"{theirs['url']}/events", "m")):
            until(lambda: service.followers.count == 3)
            assert other.get(f"{theirs['url']}?wait=5").status_code == 429
    until(lambda: service.followers.count == 1)  # who has left keeps no place
    with connect(socket_url, additional_headers=token) as followed:
        assert '"queued"' in str(followed.recv(5))
        assert service.followers.count == 2
    until(lambda: service.followers.count == 1)
    first.close()
    until(lambda: service.followers.count == 0)
    for made in (run, theirs):
        (one if made is run else other).post(f"{made['url']}/cancel")


def test_who_does_not_read_is_dropped_and_who_reads_slowly_is_not(
    address: str, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unread_answers, "UNREAD_SECONDS", 0.4)
    content = b"\x89PNG\r\n\x1a\n" + bytes(6_000_000)
    name = caller(service, "k").post("/api/files", content=content).json()["name"]
    with closing(opened(address, f"/api/files/{name}", buffer=65536)) as unread:
        time.sleep(1.0)
        assert received(unread) < len(content)
    with closing(opened(address, f"/api/files/{name}", buffer=65536)) as slow:
        assert received(slow, 0.01) >= len(content)


def received(connection: socket.socket, pause: float = 0.0) -> int:
    """How many bytes come, until there are no more for a second."""
    count = 0
    connection.settimeout(1.0)
    try:
        while part := connection.recv(60_000):
            count += len(part)
            time.sleep(pause)
    except OSError:
        pass
    return count


def test_a_socket_that_does_not_read_is_dropped(
    address: str, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unread_answers, "UNREAD_SECONDS", 0.3)
    run = caller(service, "k").post("/api/graphs/slow/runs", json={"steps": 500}).json()
    url = f"{address.replace('http', 'ws')}{run['url']}/socket"
    with connect(url, additional_headers={"Authorization": "Bearer K"}, max_queue=1, compression=None) as unread:
        log = service.logs.of(run["id"])
        for _ in range(300):
            log.add({"event": "output", "name": "x", "value": "x" * 60_000})
        until(lambda: service.followers.count == 0)
        with pytest.raises(ConnectionClosed):
            for _ in range(1000):
                unread.recv(5)
    caller(service, "k").post(f"{run['url']}/cancel")
