"""Stores of other versions: an older one is read and migrated, a newer one is refused and left as it is."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from weft.engine import Engine, Graph, InputError
from weft.engine.cli import call
from weft.engine.keys import Digest, digest
from weft.engine.sealing import sealed
from weft.engine.store import Computed, CostNote, HistoryNote, ResultNote
from weft.engine.store.disk import DiskStore
from weft.engine.store.shared import SharedStore
from weft.engine.store.store_layout import FILE, VERSION, read_version

OLD = Path(__file__).parents[1] / "version_0_1" / "version_0_1.zip"
"""A job and the store of its results, as Weft 0.1 wrote them."""

KEY = digest("a key")

VALUE = {"out": Computed(1, digest(1))}


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A folder with what Weft 0.1 left: nodes, a graph, a store, a job."""
    with zipfile.ZipFile(OLD) as packed:
        packed.extractall(tmp_path / "old")
    return tmp_path / "old"


def newer(folder: Path) -> dict[str, bytes]:
    """Make a store one of a later layout; its files."""
    DiskStore(folder).put(KEY, VALUE, 1.0, {})
    (folder / FILE).write_bytes(sealed(FILE, json.dumps({"weft_store": VERSION + 1}).encode()))
    return content(folder)


def content(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def keys(store: DiskStore) -> list[Digest]:
    """The keys of all notes."""
    return [Digest(path.name) for path in store.root.glob("notes/*/*")]


def plan(old: Path) -> list[str]:
    """The states of the nodes of the old graph, planned over the old store."""
    with Engine(store=old / "store", device="cpu", nodes=[old / "nodes.py"]) as engine:
        graph = Graph.load(old / "graph.json").set("sample.seconds", 0.02)
        return [step.state for step in engine.plan(graph).steps if step.state != "unneeded"]


def test_a_store_of_version_0_1_is_read_as_it_is(old: Path) -> None:
    store = DiskStore(old / "store")
    assert store.layout == 1 and store.verify() == [] and store.stats().records == 7
    assert plan(old) == ["cached"]
    kinds = [type(store.note(key)) for key in keys(store)]
    assert {kind: kinds.count(kind) for kind in kinds} == {ResultNote: 7, CostNote: 7, HistoryNote: 1}


def test_a_store_of_version_0_1_is_migrated_and_nothing_is_lost(old: Path) -> None:
    store = DiskStore(old / "store")
    before = {key: store.note(key) for key in keys(store)}
    ages = {path: path.stat().st_mtime_ns for path in store.root.glob("notes/*/*")}
    assert call(["store", "migrate", "--store", str(old / "store")]) == 0
    assert store.layout == VERSION and store.verify() == [] and [*store.untyped_notes()] == []
    assert {key: store.note(key) for key in keys(store)} == before and None not in before.values()
    assert {path: path.stat().st_mtime_ns for path in store.root.glob("notes/*/*")} == ages
    assert plan(old) == ["cached"]
    assert (store.migrate().before, store.migrate().notes) == (VERSION, 0)


def test_a_migration_that_was_interrupted_goes_on(old: Path) -> None:
    store = DiskStore(old / "store")
    first = next(store.untyped_notes())
    store.retype(first)
    assert store.layout == 1 and store.migrate().notes == len(keys(store)) - 1


def test_a_new_store_is_marked_with_its_layout(tmp_path: Path) -> None:
    store = DiskStore(tmp_path / "store")
    assert store.layout == VERSION and not store.folder.exists()
    store.put(KEY, VALUE, 1.0, {})
    assert read_version(store.files) == VERSION and DiskStore(store.folder).migrate().notes == 0


def test_a_store_of_a_newer_layout_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    before = newer(tmp_path / "store")
    for _ in range(2):
        with pytest.raises(InputError) as caught:
            Engine(store=tmp_path / "store", device="cpu")
    assert str(tmp_path / "store") in caught.value.message and caught.value.hint
    for verb in ("stats", "verify", "prune", "migrate"):
        assert call(["store", verb, "--store", str(tmp_path / "store")]) == 2
    assert content(tmp_path / "store") == before


def test_a_shared_store_of_a_newer_layout_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    before = newer(tmp_path / "shared")
    store = SharedStore(str(tmp_path / "shared"), DiskStore(tmp_path / "near"))
    for _ in range(2):
        with pytest.raises(InputError):
            store.has(KEY)
        with pytest.raises(InputError):
            store.put(KEY, VALUE, 1.0, {})
    assert content(tmp_path / "shared") == before


def test_a_damaged_mark_is_found_and_written_again(tmp_path: Path) -> None:
    DiskStore(tmp_path).put(KEY, VALUE, 1.0, {})
    (tmp_path / FILE).write_bytes(b'{"weft_store": 3}')
    store = DiskStore(tmp_path)
    assert [fault.place for fault in store.verify()] == [str(tmp_path / FILE)]
    store.put(digest("another"), VALUE, 1.0, {})
    assert store.verify() == [] and read_version(store.files) == VERSION
