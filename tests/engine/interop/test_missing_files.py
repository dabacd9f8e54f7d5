"""Models that a workflow says where to find are listed, and got where that is asked for."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.nodes.interop.classic import editor
from tests.refusals import refused
from weft.engine import Graph
from weft.engine.cli import call
from weft.engine.interop.foreign_graph import ForeignFile
from weft.engine.interop.missing_files import download, missing_files

CONTENT = b"numbers"
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "tiny.safetensors").write_bytes(CONTENT)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path / "served")))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/tiny.safetensors"
    server.shutdown()
    server.server_close()


def workflow(folder: Path, url: str, digest: str) -> Path:
    """The classic workflow, which says where its checkpoint is."""
    tree = editor()
    model = {"name": "tiny.safetensors", "url": url, "directory": "checkpoints", "hash": digest, "hash_type": "SHA256"}
    for one in tree["nodes"]:
        if one["type"] == "CheckpointLoaderSimple":
            one |= {"widgets_values": ["tiny.safetensors"], "properties": {"models": [model]}}
    (folder / "flow.json").write_text(json.dumps(tree))
    return folder / "flow.json"


def test_a_missing_file_is_listed_and_got_and_checked(
    tmp_path: Path, address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path, models, out = workflow(tmp_path, address, DIGEST), tmp_path / "models", tmp_path / "graph.json"
    models.mkdir()
    ((id, file),) = missing_files(Graph.load(path), [models])
    assert (id, file) == ("load_checkpoint", ForeignFile("tiny.safetensors", address, "checkpoints", DIGEST, "SHA256"))
    command = ["import", str(path), "-o", str(out), "--models", str(models)]
    assert call(command) == 0 and not [*models.iterdir()]
    assert address in (listed := capsys.readouterr().err) and DIGEST in listed
    assert call([*command, "--download"]) == 0
    assert (models / "checkpoints" / "tiny.safetensors").read_bytes() == CONTENT
    assert not [*missing_files(Graph.load(path), [models])] and not [*missing_files(Graph.load(out), [models])]


def test_a_run_gets_missing_files_where_the_call_asks_for_it(
    tmp_path: Path, address: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It gets the file, and then says what is wrong with it."""
    path, models = workflow(tmp_path, address, DIGEST), tmp_path / "models"
    models.mkdir()
    monkeypatch.setenv("WEFT_DOWNLOAD", "true")  # for hub ids; no setting lets a workflow name addresses
    command = ["--models", str(models), "--json"]
    for verb in (["check"], ["plan", "--no-cache"], ["run", "--no-cache", "--device", "cpu"]):
        assert call([*verb, str(path), *command]) == 2 and not [*models.iterdir()]
        assert address in (shown := capsys.readouterr().out) and DIGEST in shown
    assert call(["run", str(path), *command, "--no-cache", "--device", "cpu", "--download"]) == 2
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {"event": "downloaded", "path": str(models / "checkpoints" / "tiny.safetensors"), "checked": True} in events
    assert (models / "checkpoints" / "tiny.safetensors").read_bytes() == CONTENT
    assert {one["code"] for one in events if one["event"] == "problem"} != {"missing-file"}


def test_a_file_of_another_digest_is_not_kept(tmp_path: Path, address: str) -> None:
    with refused("wrong-digest", DIGEST):
        download(ForeignFile("tiny.safetensors", address, "checkpoints", "0" * 64, "SHA256"), tmp_path)
    assert not [*(tmp_path / "checkpoints").iterdir()]


@pytest.mark.parametrize(
    ("name", "code"),
    [("../a.safetensors", "outside-folders"), ("/a.safetensors", "outside-folders"), ("a.ckpt", "unsafe-file")],
)
def test_names_that_lead_elsewhere_and_pickles_are_refused(tmp_path: Path, name: str, code: str) -> None:
    with refused(code, name):
        download(ForeignFile(name, "http://127.0.0.1:1/a", "loras"), tmp_path)


def test_an_address_without_an_answer_is_a_message(tmp_path: Path) -> None:
    with refused("unreadable-file", "http://127.0.0.1:1/a"):
        download(ForeignFile("a.safetensors", "http://127.0.0.1:1/a", "loras"), tmp_path)
