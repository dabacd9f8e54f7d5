"""Notes have one of five types, which survive a store of files; notes of older stores are read by their form."""

from __future__ import annotations

from pathlib import Path

import pytest

from weft.engine.keys import digest
from weft.engine.sealing import sealed
from weft.engine.store import CostNote, HeldWeights, HistoryNote, MemoryNote, Note, PaceNote, ResultNote, Store, Timing
from weft.engine.store.disk import DiskStore
from weft.engine.store.memory import MemoryStore
from weft.engine.store.notes import pack, read_untyped, unpack
from weft.engine.store.tiers import Tiers

KEY = digest("a key")

PACE = PaceNote((Timing(0.5, True, (2.0, 1.0)), Timing(1e-06, False, (1e9, 0.5))))

NEED = MemoryNote(3_000_000_000, (HeldWeights("Model(sdxl)", 2_500_000_000),), ("tiles",))

NOTES: list[Note] = [
    ResultNote(digest("content")),
    CostNote(1.25e-07),
    PACE,
    NEED,
    HistoryNote('{"a": ["A", 1, "", {}]}'),
]


@pytest.fixture(params=["memory", "disk", "tiers"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """An empty store of each kind."""
    memory, disk = MemoryStore(), DiskStore(tmp_path)
    stores: dict[str, Store] = {"memory": memory, "disk": disk, "tiers": Tiers((memory, disk))}
    return stores[request.param]


@pytest.mark.parametrize("note", NOTES)
def test_a_note_is_recalled_by_its_type_and_by_no_other(note: Note, store: Store) -> None:
    store.remember(KEY, note)
    assert store.recall(KEY, type(note)) == note
    assert not [kind for kind in map(type, NOTES) if kind is not type(note) and store.recall(KEY, kind)]
    assert store.recall(digest("another"), type(note)) is None


@pytest.mark.parametrize("note", NOTES)
def test_a_packed_note_is_unpacked(note: Note) -> None:
    assert unpack(pack(note)) == note and read_untyped(pack(note)) is None


@pytest.mark.parametrize("note", [note for note in NOTES if note not in (PACE, NEED)])
def test_a_note_of_layout_1_has_its_text_alone(note: Note) -> None:
    text = pack(note).partition(b" ")[2]
    assert unpack(text) == read_untyped(text) == note


STRANGE = [b"", b"result ../../etc/passwd", b"result " + b"AB" * 32, b"cost much", b"\xff", b"x", b"later 5"]
STRANGE += [
    b"memory",
    b"memory [1]",
    b"memory [-1, [], []]",
    b'memory [1, [["x", -1]], []]',
    b"memory [1e999, [], []]",
]
STRANGE += [b"pace", b"pace []", b"pace [[1]]", b"pace [[-1, true, [1]]]", b"pace [[1, true, [NaN]]]"]


@pytest.mark.parametrize("content", STRANGE)
def test_what_is_no_note_is_none(content: bytes, tmp_path: Path) -> None:
    store = DiskStore(tmp_path)
    store.remember(KEY, NOTES[0])
    store.note_path(KEY).write_bytes(sealed(KEY, content))
    assert unpack(content) is None and store.note(KEY) is None and store.recall(KEY, ResultNote) is None
