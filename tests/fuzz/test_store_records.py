"""Mutated files of stores: each is read as what it is or as damage, and nothing outside of the store is touched."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import orjson
import pytest

from tests.fuzz.budget import Budgeted
from tests.fuzz.fuzzing import Cases, counts, hold
from tests.fuzz.mutations import GENERAL, documents
from weft.engine import Artifact
from weft.engine.keys import Digest, digest
from weft.engine.sealing import opened, sealed
from weft.engine.store import Computed, CorruptRecord, CostNote, HistoryNote, ResultNote
from weft.engine.store.codec import content_digest
from weft.engine.store.disk import DiskStore
from weft.engine.store.shared import SharedStore

KEYS = tuple(digest(("record", number)) for number in range(3))
NOTE = digest("note")

VALUES: tuple[Any, ...] = (
    [1, 2.5, "text", None, {"a": (1, 2)}, 2**70, float("inf"), digest("x")],
    Artifact(b"bytes of a picture", "image/png", "folder/picture"),
    [b"first", [b"second", b"first"]],
)

NAMES = ("", "..", "../outside/file", "/etc/passwd", "a" * 64, "0" * 64, KEYS[0], KEYS[1], KEYS[0].upper(), "\0" * 64)

Case = tuple[str, int, bytes]
"""The kind of a file, the number of its record, and what somebody wrote there."""


def written(folder: Path) -> DiskStore:
    """A store with records of every kind of part that needs no torch."""
    store = DiskStore(folder)
    for key, item in zip(KEYS, VALUES, strict=True):
        store.put(key, {"out": Computed(item, content_digest(item))}, 1.0, {"type": "Made", "partial": NOTE})
        store.remember(digest(("recipe", key)), ResultNote(key))
    store.remember(NOTE, CostNote(1.0))
    return store


def _restored(folder: Path) -> DiskStore:
    """The store `far` in a folder as it was made: files that changed are copied again, folders stay.

    To make the store again for each case would take most of the time.
    """
    original, far = folder / "original", folder / "far"
    if not original.exists():
        written(original)
    made = _files(original)
    for name, state in _files(far).items():
        if made.get(name) != state:
            (far / name).unlink()
    for name in made:
        if not (far / name).exists():
            (far / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(original / name, far / name)
    return DiskStore(far)


def _files(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of each file below a folder, by its path in there."""
    paths = (Path(within, name) for within, _, files in os.walk(folder) for name in files)
    states = ((path.relative_to(folder).as_posix(), path.stat()) for path in paths)
    return {name: (state.st_size, state.st_mtime_ns) for name, state in states}


def used(case: Case, folder: Path) -> None:
    """Write a file of a store, and use the store in each way: as one's own, and as one that is shared."""
    kind, number, content = case
    far, key = _restored(folder), KEYS[number]
    places = {
        "record": (far.trace_path(key), key),
        "note": (far.note_path(NOTE), NOTE),
        "recipe": (far.note_path(digest(("recipe", key))), digest(("recipe", key))),
        "layout": (far.folder / "layout.json", "layout.json"),
        "claim": (far.claims.path(key), ""),
    }
    path, name = places[kind]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(sealed(name, content) if name and content[:1] != b"\xff" else content)
    for name in _files(folder / "near"):
        (folder / "near" / name).unlink()
    _read(SharedStore(str(folder / "far"), DiskStore(folder / "near"), lambda report: None), key)
    _read(DiskStore(folder / "far"), key)
    far.claimed(key)
    if claim := far.claim(key, 1.0):
        claim.release()
    far.verify()
    far.migrate()
    far.prune(max_bytes=100)


def _read(store: DiskStore | SharedStore, key: Digest) -> None:
    for kind in (ResultNote, CostNote, HistoryNote):
        store.recall(NOTE, kind)
    note = store.recall(digest(("recipe", key)), ResultNote)
    for one in {key, note.content if note else key}:
        try:
            record = store.get(one) if store.has(one) else None
            if record is not None:
                record.check(one, "Made", ("out",))
                [handle.load() for handle in record.outputs.values()]
        except CorruptRecord:
            store.drop(one)


def named(chance: Random, document: Any) -> Any:
    """The names of blobs and digests are others."""
    if isinstance(document, dict) and isinstance(document.get("outputs"), dict):
        for output in document["outputs"].values():
            if isinstance(output, dict):
                field = chance.choice(("blobs", "tensors", "digest"))
                name = chance.choice(NAMES)
                output[field] = [name] * chance.choice((1, 3)) if field == "blobs" else name
    return document


def rebuilt(chance: Random, document: Any) -> Any:
    """The tree of a value is another one."""
    if isinstance(document, dict) and isinstance(document.get("outputs"), dict):
        kinds = ("list", "tuple", "dict", "value", "digest", "int", "float", "tensor", "bytes", "code", "fields")
        inner = chance.choice((0, -1, 10**9, "Artifact", [], [[1, 2]], [[[], 1]], {"bytes": 0}, "1e999", None))
        tree: Any = {chance.choice(kinds): inner, **({"fields": {"name": "../x"}} if chance.random() < 0.3 else {})}
        for _ in range(chance.choice((0, 1, 300))):
            tree = {"list": [tree]}
        for output in document["outputs"].values():
            if isinstance(output, dict):
                output["tree"] = tree
    return document


def _bodies(folder: Path) -> list[bytes]:
    """The records of such a store, as JSON."""
    store = written(folder)
    return [opened(key, store.trace_path(key).read_bytes()) or b"" for key in KEYS]


def _cases(folder: Path) -> Cases[Case]:
    notes = [
        b"result " + KEYS[1].encode(),
        b"cost 1.5",
        b'history {"a": ["T", 1, "", {}]}',
        b"{}",
        b"1.5",
        KEYS[2].encode(),
    ]
    mutated = documents([json.dumps(note.decode()).encode() for note in notes], GENERAL)
    plain = [*(f"result {name}".encode() for name in NAMES), b"\xffunsealed"]

    def note(chance: Random) -> bytes:
        return mutated(chance).strip(b'"') if chance.random() < 0.5 else chance.choice(plain)

    bodies = _bodies(folder)
    claim = orjson.dumps({"pid": 1, "started": "5", "since": 1.0, "expected": 1.0})
    kinds: list[tuple[str, Cases[bytes]]] = [
        ("record", documents(bodies, (*GENERAL, named, rebuilt))),
        ("record", documents(bodies, (named, rebuilt))),
        ("note", note),
        ("recipe", note),
        ("layout", documents([b'{"weft_store":2}'], GENERAL)),
        ("claim", documents([claim], GENERAL)),
    ]

    def made(chance: Random) -> Case:
        kind, texts = chance.choice(kinds)
        return kind, chance.randrange(len(KEYS)), texts(chance)

    return made


@pytest.fixture
def child(tmp_path: Path) -> Iterator[Budgeted[Case]]:
    for name in ("inside", "outside"):
        (tmp_path / name).mkdir()
    (tmp_path / "outside" / "file").write_text("precious")
    with Budgeted(used, tmp_path / "inside", ("note", 0, b"cost 1.0")) as made:
        yield made


@counts(2_000)
def test_mutated_records_are_read_or_damage(count: int, child: Budgeted[Case], tmp_path: Path) -> None:
    hold(_cases(tmp_path / "inside" / "seeds"), count, child, tmp_path / "spoil")
