"""What the tests of the server share: one in this process over light nodes, and callers of it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.testclient import TestClient

from weft.engine import Engine
from weft.engine.serve.callers import Callers
from weft.engine.serve.connections import BoundedHTTP
from weft.engine.serve.service import UPLOADS, ServeOptions, Service
from weft.engine.serve.unread_answers import IMPATIENT_SOCKETS
from weft.engine.serve.web_app import web_app

NODES = '''"""Nodes that need nothing heavy."""

import time
from io import BytesIO
from typing import Annotated

from weft.engine import INJECTED, Artifact, Context, InputError, InputFile, Range, Resolved, Resource, find, node
from weft.engine.spec.changing import ALWAYS, Changing


class Weights(Resource):
    """A file in the folders of models."""

    def resolve(self, text, places):
        """The file, where this machine has it."""
        path = find(text, places.models) if places.models else None
        if path is None:
            raise InputError(f"there is no model `{text}`", "", "unknown-model")
        return Resolved(text, path, (path,))


@node(category="numbers")
def Add(a: int, b: Annotated[int, Range(0, 100)] = 1) -> int:
    """Add two numbers."""
    return a + b


@node(category="numbers")
def Divide(a: int, b: int) -> int:
    """Divide one number by another."""
    return a // b


@node(category="numbers")
def Slow(steps: int, seed: int = 0, *, context: Context = INJECTED) -> int:
    """Take a fiftieth of a second for each step."""
    for step in range(steps):
        time.sleep(0.02)
        context.progress(step + 1, steps, lambda: b"a picture")
    return seed


@node(category="files")
def FirstByte(path: Annotated[str, InputFile((".png", ".txt", ".json"))], *, context: Context = INJECTED) -> int:
    """The first byte of a file."""
    return context.resources[path].resolved.root.read_bytes()[0]


@node(category="files")
def FirstWeight(source: Annotated[str, Weights()], *, context: Context = INJECTED) -> int:
    """The first byte of a model."""
    return context.resources[source].resolved.root.read_bytes()[0]


@node(category="numbers", traits=[Changing(lambda literals: ALWAYS)])
def Now() -> int:
    """What no two calls give."""
    return time.monotonic_ns()


@node(category="picture")
def Dot(level: int, name: str = "dot") -> Artifact:
    """Paint one pixel."""
    from PIL import Image

    packed = BytesIO()
    Image.new("L", (1, 1), level).save(packed, "PNG")
    return Artifact(packed.getvalue(), "image/png", name)
'''

SUM = {
    "weft": 1,
    "title": "A dot as bright as a sum",
    "parameters": {"first": {"sets": ["sum.a"]}, "second": {"sets": ["sum.b"], "default": 3, "max": 50}},
    "nodes": {
        "sum": {"type": "Add", "inputs": {}},
        "dot": {"type": "Dot", "inputs": {"level": {"link": "sum"}}},
    },
    "outputs": {"total": {"link": "sum"}},
}

SLOW = {
    "weft": 1,
    "parameters": {"steps": {"sets": ["slow.steps"]}, "seed": {"sets": ["slow.seed"], "default": 0}},
    "nodes": {"slow": {"type": "Slow", "inputs": {}}},
    "outputs": {"seed": {"link": "slow"}},
}

READ = {
    "weft": 1,
    "parameters": {"path": {"sets": ["read.path"]}},
    "nodes": {"read": {"type": "FirstByte", "inputs": {}}},
    "outputs": {"byte": {"link": "read"}},
}

HOST = "http://localhost:8420"


def written(folder: Path) -> Path:
    """A folder with graphs, and the file of their nodes; gives the folder of graphs."""
    graphs = folder / "graphs"
    (graphs / "more").mkdir(parents=True)
    (folder / "nodes.py").write_text(NODES)
    for name, graph in {"sum": SUM, "slow": SLOW, "more/read": READ}.items():
        (graphs / f"{name}.json").write_text(json.dumps(graph))
    (graphs / "no_graph.json").write_text("{}")
    return graphs


Make = Callable[..., Service]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Makes a server over light nodes; arguments are options, and `callers`."""
    graphs = written(tmp_path)

    def made(callers: Callers | None = None, **options: Any) -> Service:
        data = tmp_path / "data"
        engine = Engine(
            store=tmp_path / "store", device="cpu", nodes=[tmp_path / "nodes.py"], working=data / UPLOADS, inputs=()
        )
        given: Mapping[str, Any] = {"data": data, "graphs": graphs, "grace": 0.0, **options}
        return Service(engine, ServeOptions(**given), callers or Callers())

    return made


def client_of(service: Service, **headers: str) -> TestClient:
    """A caller; a server is open while the first one is."""
    return TestClient(web_app(service), base_url=HOST, headers=headers)


@pytest.fixture
def service(make: Make) -> Service:
    """A server that everyone of this machine may call."""
    return make()


@pytest.fixture
def client(service: Service) -> Iterator[TestClient]:
    """A caller of it."""
    with client_of(service) as made:
        yield made


class _Quiet(uvicorn.Server):
    """A server in a thread, which gets no signals."""

    def install_signal_handlers(self) -> None:
        pass


@contextmanager
def answering(service: Service) -> Iterator[str]:
    """The address of a server in a thread, while the block runs."""
    kinds: Any = {"http": BoundedHTTP, "ws": IMPATIENT_SOCKETS}
    config = uvicorn.Config(web_app(service), port=0, log_config=None, timeout_graceful_shutdown=1, **kinds)
    server = _Quiet(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    until(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        service.begin_to_stop()
        server.should_exit = True
        thread.join()


def run(client: TestClient, graph: str, **parameters: Any) -> dict[str, Any]:
    """A graph of the server, run to its end."""
    answer = client.post(f"/api/graphs/{graph}/runs?wait=60", json=parameters)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def until(test: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not test():
        assert time.monotonic() < end
        time.sleep(0.01)
