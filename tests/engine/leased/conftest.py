"""A server that runs nothing, and workers of it with engines of their own, in this process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.engine.serve.conftest import Make, answering, make  # noqa: F401 - a fixture
from weft.engine import Engine
from weft.engine.client import Remote
from weft.engine.client.server_calls import ServerCalls
from weft.engine.leased.fetched_inputs import FetchedInputs
from weft.engine.leased.lease_calls import LeaseCalls
from weft.engine.leased.queue_worker import QueueWorker
from weft.engine.serve.service import Service


@dataclass
class WorkerThread:
    """A worker in a thread."""

    worker: QueueWorker
    lines: list[str]
    fault: list[Exception] = field(default_factory=list)
    thread: threading.Thread = field(init=False)

    def start(self) -> None:
        """Let it work."""
        self.thread = threading.Thread(target=self._work)
        self.thread.start()

    def _work(self) -> None:
        try:
            self.worker.until_stopped(0.0)
        except Exception as fault:
            self.fault.append(fault)

    def stop(self) -> None:
        """Stop it in order."""
        self.worker.ask_to_stop()
        self.thread.join(20)


Work = Callable[..., WorkerThread]


@pytest.fixture
def service(make: Make) -> Service:  # noqa: F811
    """A server that leaves all runs to workers."""
    return make(at_once=0, lease=2.0)


@pytest.fixture
def url(service: Service) -> Iterator[str]:
    """Its address."""
    with answering(service) as found:
        yield found


@pytest.fixture
def remote(url: str, tmp_path: Path) -> Remote:
    """Its engine, for callers."""
    return Remote(url, output=tmp_path / "got", nodes=[tmp_path / "nodes.py"], patience=1.0)


@pytest.fixture
def work(url: str, tmp_path: Path) -> Iterator[Work]:
    """Starts workers; arguments are those of `QueueWorker`, `token`, and of `Engine`, `nodes`."""
    with working(url, tmp_path) as start:
        yield start


@contextmanager
def working(url: str, folder: Path) -> Iterator[Work]:
    """What starts workers, while the block runs."""
    started: list[WorkerThread] = []

    def start(name: str = "one", token: str | None = None, nodes: str = "nodes.py", **options: Any) -> WorkerThread:
        kept = folder / f"worker_{name}"
        engine = Engine(
            store=kept / "store",
            device="cpu",
            nodes=[folder / nodes],
            working=kept / "inputs",
            inputs=(),
            models=(kept / "models",),
            history=False,
        )
        lines: list[str] = []
        calls = LeaseCalls(ServerCalls(url, token, silence=2.0), lambda: worker.stopping)
        given: dict[str, Any] = {"places": ((kept, "DATA"),), "say": lines.append, "wait": 0.5, **options}
        worker = QueueWorker(engine, calls, FetchedInputs(kept / "inputs"), kept / "runs", name, **given)
        made = WorkerThread(worker, lines)
        made.start()
        started.append(made)
        return made

    try:
        yield start
    finally:
        for one in started:
            one.stop()
