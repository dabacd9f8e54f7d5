"""What strangers send: files that lie, bodies that are too large or break off, graphs that name what is not theirs."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import shutil
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.engine.serve.conftest import READ, SUM, Make, client_of, run
from weft.engine.serve.service import Service
from weft.engine.serve.web_app import web_app

PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)


def send(client: TestClient, content: bytes, **headers: str) -> Any:
    return client.post("/api/files", content=content, headers=headers)


def test_a_file_that_was_sent_is_named_by_its_digest_in_graphs(client: TestClient) -> None:
    sent = send(client, PNG)
    name = sent.json()["name"]
    assert (sent.status_code, name) == (201, f"{hashlib.sha256(PNG).hexdigest()}.png")
    assert run(client, "more/read", path=name)["result"]["outputs"]["byte"]["value"] == 0x89
    assert client.get(sent.json()["url"]).content == PNG
    posted = client.post("/api/runs?wait=60", json={"graph": READ, "parameters": {"path": name}}).json()
    assert posted["result"]["outputs"]["byte"]["value"] == 0x89


def test_files_are_compared_with_what_is_given_of_them(client: TestClient, service: Service) -> None:
    digest = base64.b64encode(hashlib.sha256(PNG).digest()).decode()
    assert send(client, PNG, **{"content-digest": f"sha-256=:{digest}:"}).status_code == 201
    assert send(client, PNG + b"x", **{"content-digest": f"sha-256=:{digest}:"}).status_code == 422
    assert send(client, PNG, **{"content-digest": "sha-256=:x:"}).status_code == 400
    assert send(client, b"#!/bin/sh", **{"content-type": "image/png"}).status_code == 422
    assert send(client, zlib.compress(PNG), **{"content-encoding": "deflate"}).status_code == 415
    assert send(client, b"").status_code == 422
    assert [path.suffix for path in service.uploads.folder.iterdir()] == [".png"]


def test_files_beyond_the_limits_are_refused_and_old_ones_go(make: Make) -> None:
    service = make(upload_bytes=1000, uploads_bytes=1500)
    with client_of(service) as client:
        assert send(client, PNG + bytes(1000)).status_code == 413

        def parts() -> Iterator[bytes]:
            yield from [PNG] * 20

        assert client.post("/api/files", content=parts()).status_code == 413
        names = [send(client, PNG + bytes(500) + bytes([number])).json()["name"] for number in range(3)]
        assert names[0] not in {path.name for path in service.uploads.folder.iterdir()}
        assert len([*service.uploads.folder.iterdir()]) == 2


def test_files_that_runs_wait_for_stay_whatever_others_send(make: Make) -> None:
    content = PNG + bytes(600)
    for _ in range(2):  # a server that comes after knows them too
        service = make(uploads_bytes=1500, at_once=0)
        with client_of(service) as client:
            name = send(client, content).json()["name"]
            assert client.post("/api/graphs/more/read/runs", json={"path": name}).status_code == 202
            assert [send(client, PNG + bytes(600) + bytes([n])).status_code for n in range(3)] == [201] * 3
            assert service.uploads.find(name)
            full = send(client, PNG + bytes(900))
            assert (full.status_code, full.json()["code"]) == (503, "no-room") and full.headers["retry-after"]
            assert send(client, content).status_code == 201
    runs = client_of(make(uploads_bytes=1500))
    with runs as client:
        for one in client.get("/api/runs").json()["runs"]:
            assert client.get(f"{one['url']}?wait=20").json()["state"] == "done"
        assert send(client, PNG + bytes(1300)).status_code == 201


def test_a_body_that_breaks_off_leaves_nothing(make: Make) -> None:
    service, answers = make(), list[Any]()
    messages = [{"type": "http.request", "body": PNG, "more_body": True}, {"type": "http.disconnect"}]
    scope: dict[str, Any] = {
        "type": "http",
        "method": "POST",
        "path": "/api/files",
        "query_string": b"",
        "http_version": "1.1",
    }
    scope |= {"headers": [(b"host", b"localhost")], "scheme": "http", "server": ("localhost", 8420), "client": None}

    async def receive() -> Any:
        return messages.pop(0)

    async def answer(message: Any) -> None:
        answers.append(message)

    asyncio.run(web_app(service)(scope, receive, answer))
    assert answers[0]["status"] == 400 and not [*service.uploads.folder.iterdir()]


@pytest.mark.parametrize(
    "name",
    ["/etc/passwd", "../nodes.py", "../../../../etc/passwd", "~/.bashrc", "../queue.sqlite", "\0", "a" * 5000, "", "."],
)
def test_a_graph_that_is_posted_names_nothing_of_the_machine(client: TestClient, name: str, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    for path in (name, str(tmp_path / "secret.txt"), "secret.txt", "sum.json"):
        body = {"graph": READ, "parameters": {"path": path}}
        answer = client.post("/api/runs?wait=30", json=body)
        assert answer.status_code == 422 and str(tmp_path / "data") not in answer.text, answer.text
    graph = {"weft": 1, "nodes": {"a": {"type": f"file:{name}", "inputs": {}}}, "outputs": {"x": {"link": "a"}}}
    assert client.post("/api/runs", json={"graph": graph}).status_code == 422


def test_node_types_may_be_narrowed_for_graphs_that_are_posted(make: Make) -> None:
    with client_of(make(allowed=frozenset({"numbers"}))) as client:
        refused = client.post("/api/runs", json={"graph": SUM, "parameters": {"first": 1}})
        assert [one["code"] for one in refused.json()["problems"]] == ["node-type-not-allowed"]
        inner = {**SUM, "outputs": {}}
        graph = {"weft": 1, "graphs": {"inner": inner}, "nodes": {"a": {"type": "graph:inner", "inputs": {"first": 1}}}}
        assert client.post("/api/runs", json={"graph": graph}).status_code == 422
        assert run(client, "sum", first=1)["state"] == "done"


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[]", 422),
        (b"null", 422),
        (b'{"graph": 1}', 422),
        (b'{"graph": "sum", "more": 1}', 422),
        (b'{"graph": {}, "only": [1]}', 422),
        (b'{"graph": {"weft": 1, "nodes": {"\\ud800": 1}}}', 400),
        (b'{"graph": "' + b"x" * 100_000 + b'"}', 404),
        (b'{"graph": "../../etc/passwd"}', 404),
        (b'{"graph": "sum", "parameters": {"first": 1e999}}', 400),
        (b'{"graph": "sum", "parameters": {"first": 99999999999999999999999}}', 422),
        (b'{"graph": "sum", "parameters": {"sum.a": 1}}', 422),
        (b'{"graph": "sum", "parameters": {"first": {"link": "sum"}}}', 422),
        (b'{"graph": ' + b"[" * 2000 + b"]" * 2000 + b"}", 400),
        (json.dumps({"graph": {"a": "x" * 2_000_000}}).encode(), 413),
    ],
)
def test_bodies_of_any_form_are_answered(make: Make, content: bytes, status: int) -> None:
    with client_of(make(body_bytes=1_000_000)) as client:
        answer = client.post("/api/runs", content=content, headers={"content-type": "application/json"})
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/problem+json" and "Traceback" not in answer.text
        form = {"content-type": "application/x-www-form-urlencoded"}
        assert client.post("/api/runs", content=content, headers=form).status_code == 415


@pytest.mark.parametrize(
    "name", ["../queue.sqlite", "%2e%2e/%2e%2e/queue.sqlite", "..%2f..%2fqueue.sqlite", "/etc/passwd"]
)
def test_no_file_is_given_but_those_of_the_run(client: TestClient, name: str) -> None:
    done = run(client, "sum", first=1)
    assert client.get(f"{done['url']}/files/{name}").status_code == 404
    assert client.get(f"/api/files/{name}").status_code == 404
    assert client.get(f"/api/graphs/{name}").status_code == 404


def picture_of(width: int, height: int) -> bytes:
    """A PNG of few bytes that is black and white and so large."""

    def part(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes((width // 8 + 1) * height), 1)
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", head) + part(b"IDAT", rows) + part(b"IEND", b"")


def test_a_picture_that_would_be_enormous_is_refused_before_it_is_unpacked(client: TestClient) -> None:
    name = send(client, picture_of(16_800, 16_800)).json()["name"]
    load = {"weft": 1, "nodes": {"a": {"type": "LoadImage", "inputs": {"path": name}}}, "outputs": {"x": {"link": "a"}}}
    refused = client.post("/api/runs?wait=30", json={"graph": load}).json()
    assert "too-many-pixels" in (refused.get("code"), (refused.get("error") or {}).get("code")), refused


def test_a_header_cannot_end_a_line(client: TestClient) -> None:
    graph: Callable[[str], dict[str, Any]] = lambda name: {  # noqa: E731
        "weft": 1,
        "nodes": {"a": {"type": "Dot", "inputs": {"level": 1, "name": name}}},
    }
    bad = client.post("/api/runs?wait=30", json={"graph": graph('a"\r\nx-evil: 1')}).json()
    assert bad["state"] == "failed"
    odd = client.post("/api/runs?wait=30", json={"graph": graph("päckchen; x=1")}).json()["result"]["files"][0]
    assert "x-evil" not in client.get(odd["url"]).headers


def test_files_are_taken_where_somebody_has_emptied_the_folder_and_refused_where_they_cannot_lie(
    client: TestClient, service: Service
) -> None:
    folder = service.folder("uploads")
    folder.rmdir()
    assert send(client, PNG).status_code == 201
    shutil.rmtree(folder)
    folder.write_bytes(b"a file")
    answer = send(client, PNG)
    assert (answer.status_code, answer.json()["code"]) == (503, "storage-unwritable") and answer.headers["retry-after"]
