"""A store that machines share behind their disks: fetched once, verified, and no fault where it is away."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec  # type: ignore[import-untyped]
import orjson
import pytest

from weft.engine import Engine, Graph, InputError, Link, node
from weft.engine.keys import digest
from weft.engine.sealing import opened, sealed
from weft.engine.store import Computed, CorruptRecord, CostNote, HistoryNote, ResultNote
from weft.engine.store.codec import content_digest
from weft.engine.store.disk import DiskStore
from weft.engine.store.record_files import blob_name, trace_name
from weft.engine.store.shared import SharedStore, stacked
from weft.engine.store.tiers import Tiers

KEY = digest("a key")

NOBODY = "ftp://127.0.0.1:1/weft"
"""A place that refuses every connection."""


@pytest.fixture(params=["memory", "folder"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty place: one that fsspec reaches, and a folder."""
    if request.param == "folder":
        yield f"file://{tmp_path / 'shared'}"
        return
    place = f"memory://{uuid.uuid4().hex}"
    yield place
    system, root = fsspec.url_to_fs(place)
    if system.exists(root):
        system.rm(root, recursive=True)


def machine(folder: Path, url: str, reports: list[str] | None = None) -> SharedStore:
    """The shared store as a machine with a disk of its own has it."""
    return SharedStore(url, DiskStore(folder), (reports if reports is not None else []).append)


def put(store: SharedStore, item: Any, seconds: float = 1.0) -> None:
    """Keep one value, and that its recipe led to it."""
    store.put(KEY, {"out": Computed(item, content_digest(item))}, seconds, {})
    store.remember(digest("recipe"), ResultNote(KEY))


def loaded(store: SharedStore) -> Any:
    """The value that was kept."""
    record = store.get(KEY)
    assert record is not None and record.tier == "shared"
    return record.outputs["out"].load()


def test_what_one_machine_computes_another_has_on_its_disk(url: str, tmp_path: Path) -> None:
    put(machine(tmp_path / "first", url), [b"picture", 5])
    second = machine(tmp_path / "second", url)
    assert second.has(KEY) == "shared" and second.near.has(KEY) is None
    assert loaded(second) == [b"picture", 5] and second.recall(digest("recipe"), ResultNote) == ResultNote(KEY)
    assert second.near.has(KEY) == "disk" and second.near.recall(digest("recipe"), ResultNote) == ResultNote(KEY)
    assert second.near.verify() == []


def test_what_is_quick_to_compute_is_not_sent(url: str, tmp_path: Path) -> None:
    store = machine(tmp_path, url)
    put(store, 5, seconds=0.01)
    store.remember(digest("partial"), CostNote(0.01))
    assert store.has(KEY) is None and store.recall(digest("recipe"), ResultNote) is None
    assert store.recall(digest("partial"), CostNote) is None
    store.remember(digest("partial"), CostNote(0.5))
    assert store.recall(digest("partial"), CostNote) == CostNote(0.5)
    store.remember(digest("history"), HistoryNote("{}"))
    assert store.note(digest("history")) is None


def test_damage_there_is_found_and_repaired(url: str, tmp_path: Path) -> None:
    store, content = machine(tmp_path, url), b"picture"
    put(store, content)
    for name in (blob_name(digest_name(store)), trace_name(KEY)):
        store.files.write(name, store.files.read(name)[:-1])
        with pytest.raises(CorruptRecord):
            loaded(store)
        store.drop(KEY)
        put(store, content)
        assert loaded(machine(tmp_path / name.replace("/", "_"), url)) == content


def digest_name(store: SharedStore) -> str:
    """The name of the one blob that was kept."""
    return store.blobs_of(KEY)[0]


def test_a_record_damaged_nearby_is_fetched_again(url: str, tmp_path: Path) -> None:
    store = machine(tmp_path, url)
    put(store, b"picture")
    assert loaded(store) == b"picture"
    DiskStore(tmp_path).blob_path(digest_name(store)).write_bytes(b"")
    with pytest.raises(CorruptRecord):
        loaded(store)
    Tiers((store.near, store)).drop(KEY)
    assert store.near.has(KEY) is None and loaded(store) == b"picture"


def test_a_place_that_does_not_answer_is_reported_once_and_has_nothing(tmp_path: Path) -> None:
    reports: list[str] = []
    store = machine(tmp_path, NOBODY, reports)
    put(store, 5)
    store.drop(KEY)
    assert (store.has(KEY), store.get(KEY), store.recall(KEY, CostNote)) == (None, None, None)
    assert len(reports) == 1 and NOBODY in reports[0]


def test_a_url_that_nothing_reads_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nonsense://x/y"):
        machine(tmp_path, "nonsense://x/y").has(KEY)


@node
def Slow(number: int) -> list[int]:
    """A number and the next, which takes its time."""
    import time

    time.sleep(0.11)
    return [number, number + 1]


def slow() -> Graph:
    """A graph of one such node."""
    with Graph() as graph:
        Slow(5, id="slow")  # type: ignore[call-arg]
    return replace(graph, outputs={"out": Link("slow")})


def ran(store: Tiers) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What runs, and what is cached, on a machine with this store."""
    with Engine(store=store, device="cpu") as engine:
        result = engine.run(slow())
    assert result.outputs == {"out": [5, 6]}
    return result.ran, result.cached


def test_engines_share_results(url: str, tmp_path: Path) -> None:
    assert ran(stacked(DiskStore(tmp_path / "first"), 10**6, url)) == (("slow",), ())
    assert ran(stacked(DiskStore(tmp_path / "second"), 10**6, url)) == ((), ("slow",))
    assert ran(stacked(DiskStore(tmp_path / "second"), 10**6)) == ((), ("slow",))
    assert DiskStore(tmp_path / "second").stats().records == 1


def test_a_run_goes_on_where_the_shared_store_is_away(tmp_path: Path) -> None:
    reports: list[str] = []
    assert ran(stacked(DiskStore(tmp_path), 10**6, NOBODY, reports.append)) == (("slow",), ())
    assert ran(stacked(DiskStore(tmp_path), 10**6, NOBODY, reports.append)) == ((), ("slow",))
    assert len(reports) == 1


def test_what_goes_away_after_the_plan_is_computed(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    ran(stacked(DiskStore(tmp_path / "first"), 10**6, str(shared)))
    with Engine(store=stacked(DiskStore(tmp_path / "second"), 10**6, str(shared)), device="cpu") as engine:
        planned = engine.plan(slow())
        shutil.rmtree(shared)
        result = engine.execute(planned)
    assert [step.tier for step in planned.steps] == ["shared"]
    assert (result.outputs, result.ran) == ({"out": [5, 6]}, ("slow",))


def test_a_record_that_gives_another_digest_for_its_value_is_damage(url: str, tmp_path: Path) -> None:
    store = machine(tmp_path / "first", url)
    store.put(KEY, {"out": Computed([b"forged"], content_digest([b"true"]))}, 1.0, {})
    second = machine(tmp_path / "second", url)
    with pytest.raises(CorruptRecord):
        loaded(second)
    assert second.near.has(KEY) is None, "no key of the nearer store is made of it"


def test_names_in_a_shared_record_are_no_paths(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("a thesis")
    far, near = DiskStore(tmp_path / "shared"), machine(tmp_path / "near", str(tmp_path / "shared"))
    put(near, [b"bytes"])
    body = orjson.loads(opened(KEY, far.trace_path(KEY).read_bytes()) or b"")
    body["outputs"]["out"]["blobs"] = ["../../precious"]
    far.trace_path(KEY).write_bytes(sealed(KEY, orjson.dumps(body)))
    with pytest.raises(CorruptRecord):
        loaded(near)
    near.drop(KEY)
    assert precious.exists() and not far.trace_path(KEY).exists()


def test_one_unfit_file_does_not_silence_a_shared_store(tmp_path: Path) -> None:
    reports: list[str] = []
    near = machine(tmp_path / "near", str(tmp_path / "shared"), reports)
    put(near, [b"bytes"])
    note = DiskStore(tmp_path / "shared").note_path(digest("recipe"))
    note.unlink()
    os.mkfifo(note)
    assert near.recall(digest("recipe"), ResultNote) is None
    assert loaded(near) == [b"bytes"] and not reports
