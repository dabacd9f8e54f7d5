"""The hub's cache, and which files of a repository make up a model."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import pytest

from weft.engine import SearchPaths
from weft.nodes.families.sources import CheckpointSource
from weft.nodes.models import hub

REPOSITORY = [
    ".gitattributes",
    "README.md",
    "model_index.json",
    "v1-5-pruned.safetensors",
    "unet/config.json",
    "unet/diffusion_pytorch_model.safetensors",
    "unet/diffusion_pytorch_model.bin",
    "unet/diffusion_pytorch_model.fp16.safetensors",
    "unet/diffusion_pytorch_model.non_ema.safetensors",
    "vae/config.json",
    "vae/diffusion_pytorch_model.safetensors",
    "text_encoder/model.fp16.safetensors",
    "tokenizer/merges.txt",
    "tokenizer/spiece.model",
    "safety_checker/model.safetensors",
]


def test_the_plain_weights_are_wanted() -> None:
    wanted = set(hub.wanted(REPOSITORY, CheckpointSource.components, ""))
    assert wanted == {
        "model_index.json",
        "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors",
        "vae/config.json",
        "vae/diffusion_pytorch_model.safetensors",
        "text_encoder/model.fp16.safetensors",
        "tokenizer/merges.txt",
        "tokenizer/spiece.model",
    }


def test_a_variant_is_wanted_where_there_is_one() -> None:
    wanted = {name for name in hub.wanted(REPOSITORY, CheckpointSource.components, "fp16") if "safetensors" in name}
    assert wanted == {
        "unet/diffusion_pytorch_model.fp16.safetensors",
        "vae/diffusion_pytorch_model.safetensors",
        "text_encoder/model.fp16.safetensors",
    }


def test_the_cache_lies_where_the_hub_puts_it() -> None:
    assert hub.cache_folder({"HF_HUB_CACHE": "/a"}) == Path("/a")
    assert hub.cache_folder({"HF_HOME": "/b"}) == Path("/b/hub")
    assert hub.cache_folder({"XDG_CACHE_HOME": "/c"}) == Path("/c/huggingface/hub")
    assert hub.cache_folder({}) == Path("~/.cache/huggingface/hub").expanduser()


def test_ids_differ_from_paths() -> None:
    assert hub.HubName.parse("org/name-1.5") == ("org/name-1.5", "main", "")
    assert hub.HubName.parse("org/name@v2/sub/a.safetensors") == ("org/name", "v2", "sub/a.safetensors")
    assert hub.HubName.parse("org/name@refs/pr/3") == ("org/name", "refs/pr/3", "")
    others = ["name", "folder/model.safetensors", "../name", "/etc", "a/b/../c", "a/b@", "a/b/", "a/b@../main", "a/b\n"]
    assert not any(map(hub.is_hub_id, others))


def test_the_only_file_of_a_repository_is_wanted() -> None:
    files = ["README.md", "config.yaml", "model.safetensors", "other/extra.safetensors"]
    assert [*hub.wanted(files, ("", "unet"), "")] == ["model.safetensors"]
    assert [*hub.wanted([*files, "second.safetensors"], ("", "unet"), "")] == []
    assert [*hub.wanted(REPOSITORY, ("", "unet"), "", "v1-5-pruned.safetensors")] == ["v1-5-pruned.safetensors"]
    assert {*hub.wanted(REPOSITORY, ("",), "fp16", "unet")} == {
        "unet/config.json",
        "unet/diffusion_pytorch_model.fp16.safetensors",
    }


class TinyHub(BaseHTTPRequestHandler):
    """A hub with one repository, `tiny/painter`: the answers that the hub's client asks for."""

    root: ClassVar[Path]
    commit = "1" * 40

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def _answer(self) -> None:
        names = [path.relative_to(self.root).as_posix() for path in self.root.rglob("*") if path.is_file()]
        if self.path.startswith("/api/models/tiny/painter/tree/"):
            self._send(json.dumps([{"type": "file", "path": name, "size": 1, "oid": "0"} for name in names]).encode())
        elif self.path.startswith("/api/models/tiny/painter"):
            files = [{"rfilename": name} for name in names]
            self._send(json.dumps({"id": "tiny/painter", "sha": self.commit, "siblings": files}).encode())
        elif self.path.startswith(f"/tiny/painter/resolve/{self.commit}/"):
            self._send((self.root / self.path.split("/", 5)[5]).read_bytes())
        else:
            self.send_error(404)

    def _send(self, content: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", self.commit)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)


@pytest.fixture
def tiny_hub(models: Path) -> Iterator[str]:
    """The address of a hub on this machine."""
    TinyHub.root = models / "epsilon"
    with ThreadingHTTPServer(("127.0.0.1", 0), TinyHub) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def pulled(hub_id: str, address: str, cache: Path) -> subprocess.CompletedProcess[str]:
    """Pull in a process of its own: the hub's client reads its environment once."""
    script = (
        "import sys; from weft.nodes.families.sources import CheckpointSource; "
        "print(CheckpointSource().pull(sys.argv[1]))"
    )
    hub_settings = {"HF_ENDPOINT": address, "HF_HUB_CACHE": str(cache), "HF_HUB_OFFLINE": "0", "NO_PROXY": "127.0.0.1"}
    environment = {**os.environ, **hub_settings}
    return subprocess.run([sys.executable, "-c", script, hub_id], env=environment, capture_output=True, text=True)


def test_a_pulled_model_is_found_by_its_id(tiny_hub: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = pulled("tiny/painter", tiny_hub, tmp_path / "hub")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    found = CheckpointSource().resolve("tiny/painter", SearchPaths(working=tmp_path))
    assert done.stdout.strip() == str(found.root), done.stderr
    assert found.family == "SD1"


def test_a_file_of_a_repository_is_pulled_at_a_revision(tiny_hub: str, tmp_path: Path) -> None:
    name = f"tiny/painter@{TinyHub.commit}/vae/diffusion_pytorch_model.safetensors"
    done = pulled(name, tiny_hub, tmp_path / "hub")
    path = Path(done.stdout.strip())
    assert path.is_file() and path.name == "diffusion_pytorch_model.safetensors", done.stderr
    assert hub.cached(name, tmp_path / "hub") == path
    assert not (path.parents[1] / "unet").exists()


def test_a_model_that_the_hub_does_not_have_is_refused(tiny_hub: str, tmp_path: Path) -> None:
    done = pulled("tiny/sculptor", tiny_hub, tmp_path / "hub")
    assert "InputError: the hub does not give `tiny/sculptor`" in done.stderr
