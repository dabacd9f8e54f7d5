"""Connections that say nothing do not keep others out."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from urllib.request import urlopen

import pytest

from tests.engine.serve.conftest import answering
from weft.engine.serve import connections
from weft.engine.serve.connections import BoundedHTTP, most_connections
from weft.engine.serve.service import Service


def test_of_too_many_connections_the_silent_ones_end_and_a_request_is_answered(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BoundedHTTP, "most", 5)
    with answering(service) as address, ExitStack() as opened:
        place = ("127.0.0.1", int(address.rpartition(":")[2]))
        silent = [opened.enter_context(socket.create_connection(place, 10)) for _ in range(20)]
        for one in silent[10:]:
            one.sendall(b"GET /healthz HTTP/1.1\r\nHost: loc")
        with urlopen(f"{address}/healthz", timeout=10) as answer:
            assert answer.status == 200
        assert silent[0].recv(1) == b""


def test_a_request_that_does_not_come_whole_in_time_ends_its_connection(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "REQUEST_SECONDS", 0.2)
    with answering(service) as address:
        place = ("127.0.0.1", int(address.rpartition(":")[2]))
        with socket.create_connection(place, 10) as slow:
            slow.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert slow.recv(1000).startswith(b"HTTP/1.1 200")
            slow.sendall(b"GET /healthz HTTP/1.1\r\n")
            while slow.recv(1000):  # the rest of the answer, then the end
                pass


def test_the_process_may_open_a_file_for_each_connection() -> None:
    assert 1 <= most_connections() <= connections.MOST_CONNECTIONS
