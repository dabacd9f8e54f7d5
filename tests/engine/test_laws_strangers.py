"""Law 5: a stranger's graph runs no code, reads nothing outside of its folders, and writes to the output folder only.

The same for a picture that carries a graph and for a store that others may write to; a model's folder is in
`tests/nodes/models/test_model_folder.py`. What lies next to the run's folders is compared before and after.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest

from weft.engine import Engine, GraphError, WeftError
from weft.engine.planning.planner import Plan
from weft.engine.png import with_text
from weft.engine.sealing import opened, sealed
from weft.engine.store.disk import DiskStore

PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c4944415478da6360606000000004000157cd5d0e"
    "0000000049454e44ae426082"
)


NODES = f'''
from weft.engine import Artifact, node

@node
def StrangersPicture(number: int, name: str = "picture") -> Artifact:
    """A picture under any name."""
    return Artifact({PIXEL!r}, "image/png", name)
'''
"""The user's own nodes."""


@dataclass(frozen=True)
class World:
    """A folder with the run's own folders in it, and with what is its user's."""

    top: Path
    engine: Engine

    @property
    def work(self) -> Path:
        return self.top / "work"

    def graph(self, nodes: dict[str, Any], **parts: Any) -> Path:
        """A stranger's graph file."""
        path = self.work / "graph.json"
        path.write_text(json.dumps({"weft": 1, "nodes": nodes, **parts}))
        return path

    def made(self, store: Path | None, **options: Any) -> Engine:
        """An engine with the user's own nodes."""
        nodes = self.top / "work" / "own_nodes.py"
        nodes.write_text(NODES)
        return Engine(store=store, device="cpu", output=self.work / "output", nodes=[nodes], **options)

    def run(self, path: Path, store: Path | None = None) -> None:
        """Run it to its end or its refusal."""
        with self.made(store) as engine:
            try:
                engine.run(path)
            except WeftError as refusal:
                assert str(refusal)


def listing(top: Path) -> dict[str, bytes | None]:
    """What the user has: everything but the run's own folders."""
    own = {top / name for name in ("work", "store", "share")}
    paths = [path for path in top.rglob("*") if not any(path.is_relative_to(one) for one in own)]
    return {str(path): path.read_bytes() if path.is_file() and not path.is_symlink() else None for path in paths}


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Holds that what the user has is the same afterwards."""
    for name in ("work", "home/documents"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "home" / "thesis.json").write_text('{"weft": 1, "nodes": {}}')
    (tmp_path / "home" / "documents" / "secret.txt").write_text("secret")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "work")
    before = listing(tmp_path)
    with Engine(store=None, device="cpu", output=tmp_path / "work" / "output") as engine:
        yield World(tmp_path, engine)
    assert listing(tmp_path) == before


OUTSIDE = (
    "../home/thesis.json",
    "/etc/passwd",
    "~/thesis.json",
    "link.json",
    "folder/../../home/thesis.json",
    "\0",
    "a" * 5000,
)


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_subgraph_of_a_file_outside_is_not_read(name: str, world: World) -> None:
    (world.work / "link.json").symlink_to(world.top / "home" / "thesis.json")
    (world.work / "folder").symlink_to(world.top / "home" / "documents")
    path = world.graph({"part": {"type": f"file:{name}"}}, outputs={"o": {"link": "part"}})
    with pytest.raises(GraphError) as refusal:
        world.engine.run(path)
    assert "secret" not in str(refusal.value) and refusal.value.problems


def test_a_subgraph_that_is_a_pipe_is_not_waited_for(world: World) -> None:
    os.mkfifo(world.work / "pipe.json")
    path = world.graph({"part": {"type": "file:pipe.json"}}, outputs={"o": {"link": "part"}})
    assert any(problem.code == "unreadable-file" for problem in world.engine.check(path).problems)


NAMES = (
    "../home/thesis",
    "/tmp/picture",
    "a/../../x",
    "..",
    "link/x",
    "a\0b",
    "C:\\x",
    "~/x/../..",
    "a\nb",
    " ",
    "x" * 300,
)


@pytest.mark.parametrize("name", NAMES)
def test_the_name_of_an_artifact_stays_in_the_output_folder(name: str, world: World) -> None:
    (world.work / "output").mkdir()
    (world.work / "output" / "link").symlink_to(world.top / "home")
    world.run(world.graph({"picture": {"type": "StrangersPicture", "inputs": {"number": 1, "name": name}}}))


def test_an_id_is_no_path(world: World) -> None:
    for id in ("../x", "a/b", "/etc", "a.b", "", "\0", "a b"):
        path = world.graph({id: {"type": "StrangersPicture", "inputs": {"number": 1}}})
        with pytest.raises(GraphError):
            world.engine.run(path)


def test_a_type_is_no_code(world: World) -> None:
    for type in ("os.system", "weft.engine:Engine", "builtins.eval", "__import__('os')", "file:nodes.py", "graph:../x"):
        (world.work / "nodes.py").write_text("raise SystemExit(5)")
        path = world.graph({"x": {"type": type, "inputs": {}}}, outputs={"o": {"link": "x"}})
        with pytest.raises(GraphError):
            world.engine.run(path)


def test_settings_next_to_a_graph_are_not_read(world: World) -> None:
    (world.work / "weft.toml").write_text(f'output = "{world.top / "home"}"\nstore = "{world.top / "home"}"\n')
    world.run(world.graph({"picture": {"type": "StrangersPicture", "inputs": {"number": 1}}}))
    assert [*(world.work / "output").glob("*.png")]


def test_a_picture_carries_a_graph_that_is_a_strangers_too(world: World) -> None:
    nodes = {
        "part": {"type": "file:../home/thesis.json"},
        "x": {"type": "StrangersPicture", "inputs": {"number": 1, "name": "../x"}},
    }
    graph = json.dumps({"weft": 1, "nodes": nodes})
    for run in ("{", "[]", '{"contents": {"../home/thesis.json": "../../x"}}', '{"contents": 5}'):
        (world.work / "picture.png").write_bytes(with_text(PIXEL, {"weft": graph, "weft:run": run}))
        world.run(world.work / "picture.png")


def poisoned(world: World, change: Callable[[dict[str, Any]], object]) -> Path:
    """A store with a record that a stranger changed and sealed again; gives the path of its graph."""
    path = world.graph({"picture": {"type": "StrangersPicture", "inputs": {"number": 1}}})
    with world.made(world.top / "store") as engine:
        engine.run(path)
    store = DiskStore(world.top / "store")
    for file in store.root.glob("traces/*/*.json"):
        body = orjson.loads(opened(file.stem, file.read_bytes()) or b"")
        change(body)
        file.write_bytes(sealed(file.stem, orjson.dumps(body)))
    return path


def outward(body: dict[str, Any]) -> None:
    """Blobs outside of the store."""
    body["outputs"]["result"] = body["outputs"].pop(next(iter(body["outputs"])))
    for output in body["outputs"].values():
        output["blobs"] = ["../../../home/documents/secret.txt"]


def renamed(body: dict[str, Any]) -> None:
    """An artifact of another name."""
    for output in body["outputs"].values():
        output["tree"]["fields"]["name"] = "../../home/thesis"


@pytest.mark.parametrize("change", [outward, renamed, dict.clear])
def test_a_store_that_others_write_to_leads_nowhere(change: Callable[[dict[str, Any]], object], world: World) -> None:
    path = poisoned(world, change)
    world.run(path, world.top / "store")
    DiskStore(world.top / "store").prune(max_bytes=0)


def test_a_shared_store_leads_nowhere(world: World) -> None:
    path = poisoned(world, outward)
    shutil.copytree(world.top / "store", world.top / "share")
    with world.made(world.top / "store" / "own", shared=str(world.top / "share")) as engine:
        assert isinstance(engine.plan(path), Plan)
        engine.run(path)
