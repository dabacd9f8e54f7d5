"""A store looked after: counted, verified, pruned, and kept within its size without being asked."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from weft.engine import Engine, Graph, Link, node
from weft.engine.atomic_write import write_temporary
from weft.engine.keys import Digest, digest
from weft.engine.limits import Limits
from weft.engine.store import Computed, CostNote, HistoryNote, Note, ResultNote
from weft.engine.store.codec import content_digest
from weft.engine.store.disk import DiskStore
from weft.engine.store.upkeep import FORGET


@pytest.fixture
def store(tmp_path: Path) -> DiskStore:
    """Three records of 1,000 bytes each, the first used longest ago; the last two share their blob."""
    store = DiskStore(tmp_path / "store")
    for number, content in enumerate((b"a" * 1000, b"b" * 1000, b"b" * 1000)):
        put(store, number, content)
        os.utime(store.trace_path(key(number)), times=(time.time() - 86_400 * (3 - number),) * 2)
    return store


def key(number: int) -> Digest:
    """The key of a record."""
    return digest(("test", number))


def put(store: DiskStore, number: int, content: bytes) -> None:
    """Keep one byte string."""
    store.put(key(number), {"out": Computed(content, content_digest(content))}, 1.0, {})


def held(store: DiskStore) -> list[bool]:
    """Which of the three records are there."""
    return [store.has(key(number)) is not None for number in range(3)]


def test_what_is_kept_is_counted(store: DiskStore) -> None:
    found = store.stats()
    assert (found.records, found.blobs, found.notes) == (3, 2, 0)
    assert 2000 < found.bytes < 5000


def test_a_whole_store_verifies_and_damage_is_named(store: DiskStore) -> None:
    assert store.verify() == []
    blob = store.blob_path(store.blobs_of(key(0))[0])
    blob.write_bytes(b"x")
    store.trace_path(key(1)).write_bytes(b"y")
    assert [Path(fault.place) for fault in store.verify()] == [blob, store.trace_path(key(1))]


def test_what_was_not_used_for_longest_goes_first(store: DiskStore) -> None:
    gone = store.prune(max_bytes=2500)
    assert held(store) == [False, True, True] and store.verify() == []
    assert (gone.records, gone.blobs) == (1, 1)


def test_what_was_used_is_younger(store: DiskStore) -> None:
    store.get(key(0))
    store.prune(older_than=86_400 * 1.5)
    assert held(store) == [True, False, True]


def test_leftovers_go_after_an_hour(store: DiskStore) -> None:
    lost = store.blob_path("ab" * 32)
    lost.parent.mkdir(exist_ok=True)
    half = Path(write_temporary(lost, b""))
    lost.write_bytes(b"")
    store.prune()
    assert lost.exists() and half.exists()
    for path in (lost, half):
        os.utime(path, times=(0, 0))
    store.prune()
    assert not lost.exists() and not half.exists()


def test_notes_last_as_long_as_what_they_are_about(store: DiskStore) -> None:
    store.put(key(3), {"out": Computed(1, content_digest(1))}, 1.0, {"partial": digest("of a record")})
    cost, history = CostNote(1.0), HistoryNote("{}")
    notes: dict[str, Note] = {"of a record": cost, "of nothing": cost, "young": cost, "an old graph": history}
    notes |= {"recipe": ResultNote(key(2)), "lost": ResultNote(key(4))}
    for name, note in notes.items():
        store.remember(digest(name), note)
        if name != "young":
            os.utime(store.note_path(digest(name)), times=(time.time() - FORGET - 1,) * 2)
    store.prune()
    assert [name for name in notes if store.note(digest(name))] == ["of a record", "young", "recipe"]


def test_a_store_keeps_within_its_size(store: DiskStore) -> None:
    store.keep_within(max_bytes=10_000)
    assert held(store) == [True, True, True]
    for number in range(3, 9):
        put(store, number, bytes([number]) * 1500)
    store.keep_within(max_bytes=10_000)
    assert store.stats().bytes <= 9_000 and held(store) == [False, False, False] and store.has(key(8))


@node
def Noise(seed: int) -> str:
    """A long text."""
    return str(seed) * 1000


def test_an_engine_keeps_its_store_within_the_limit(tmp_path: Path) -> None:
    limits = Limits(max_store_bytes=20_000)
    with Engine(store=tmp_path, device="cpu", limits=limits) as engine:
        for seed in range(100, 150):
            with Graph() as graph:
                Noise(seed, id="noise")  # type: ignore[call-arg]
            engine.run(replace(graph, outputs={"out": Link("noise")}))
    assert DiskStore(tmp_path).stats().bytes <= 30_000
