"""A record that somebody else wrote: what has not the form of one is damage, and never a name of a file."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from weft.engine.keys import Digest, digest
from weft.engine.sealing import opened, sealed
from weft.engine.store import Computed, CorruptRecord, CostNote, ResultNote
from weft.engine.store.codec import content_digest
from weft.engine.store.disk import DiskStore
from weft.engine.store.record_files import blob_name, note_name, trace_name

KEY = digest("a key")
OTHER = digest("another key")

NAMES = ("", "..", "../../../precious", "/etc/passwd", KEY.upper(), KEY + "\n", f"{KEY[:-1]}/", "\0" * 64, "é" * 64)
"""Names that are no digests."""


@pytest.fixture
def store(tmp_path: Path) -> DiskStore:
    """A store with one record of a list, deep in a folder of its own, next to a file of its user."""
    (tmp_path / "precious").write_text("a thesis")
    store = DiskStore(tmp_path / "store")
    store.put(KEY, {"out": Computed([b"bytes", 1], content_digest([b"bytes", 1]))}, 1.0, {"type": "Made"})
    return store


def rewrite(store: DiskStore, change: Callable[[dict[str, Any]], object], key: Digest = KEY) -> None:
    """Change a record as somebody can who may write to the store, and seal it again."""
    body = orjson.loads(opened(KEY, store.trace_path(KEY).read_bytes()) or b"")
    change(body)
    path = store.trace_path(key)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(sealed(key, orjson.dumps(body)))


def used(store: DiskStore, key: Digest = KEY) -> None:
    """Read a record whole."""
    assert store.has(key)
    record = store.get(key)
    assert record is not None
    for handle in record.outputs.values():
        handle.load()


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_is_no_digest_is_damage(name: str, store: DiskStore, tmp_path: Path) -> None:
    for found in ({"blobs": [name]}, {"tensors": name or 1}):
        rewrite(store, lambda body, found=found: body["outputs"]["out"].update(found))  # type: ignore[misc]
        with pytest.raises(CorruptRecord):
            used(store)
        store.drop(KEY)
        assert (tmp_path / "precious").exists() and not store.trace_path(KEY).exists()
        store.put(KEY, {"out": Computed(1, content_digest(1))}, 1.0, {})


@pytest.mark.parametrize("name", NAMES)
def test_no_name_of_a_file_is_made_of_it(name: str) -> None:
    for file in (trace_name, blob_name, note_name):
        with pytest.raises(CorruptRecord):
            file(Digest(name))


WRONG = {"value": "Artifact", "fields": {"a": 1}}

CHANGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "no outputs": lambda body: body.pop("outputs"),
    "outputs in a list": lambda body: body.update(outputs=[]),
    "an output of nothing": lambda body: body["outputs"].update(out=None),
    "a digest of nothing": lambda body: body["outputs"]["out"].update(digest="x"),
    "seconds before the start": lambda body: body.update(seconds=-1),
    "seconds in words": lambda body: body.update(seconds="1"),
    "no word about tensors": lambda body: body["outputs"]["out"].pop("tensors"),
    "no facts": lambda body: body.update(trace=None),
    "a part that is not there": lambda body: body["outputs"]["out"].update(tree={"bytes": 7}),
    "an unknown kind of part": lambda body: body["outputs"]["out"].update(tree={"code": "print()"}),
    "a value of wrong fields": lambda body: body["outputs"]["out"].update(tree=WRONG),
    "a number of 5000 digits": lambda body: body["outputs"]["out"].update(tree={"int": "9" * 5000}),
    "nothing in it": lambda body: body["outputs"]["out"].update(tree={}),
    "the key of another one": lambda body: body.update(key=OTHER),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_record_of_another_form_is_damage(change: Callable[[dict[str, Any]], object], store: DiskStore) -> None:
    rewrite(store, change)
    with pytest.raises(CorruptRecord):
        used(store)
    store.drop(KEY)
    assert store.has(KEY) is None and store.verify() == []


def test_a_record_that_was_copied_to_another_key_is_damage(store: DiskStore) -> None:
    rewrite(store, lambda body: None, OTHER)
    with pytest.raises(CorruptRecord):
        used(store, OTHER)
    used(store)


def test_a_record_of_an_older_version_has_no_key_in_it(store: DiskStore) -> None:
    rewrite(store, lambda body: body.pop("key"))
    used(store)


@pytest.mark.parametrize("text", ["result ../../pwned", "cost nan", "cost inf", "cost -1", "../../pwned", "result "])
def test_a_note_of_another_form_is_none(text: str, store: DiskStore) -> None:
    path = store.note_path(KEY)
    path.parent.mkdir(parents=True)
    path.write_bytes(sealed(KEY, text.encode()))
    assert store.recall(KEY, ResultNote) is None and store.recall(KEY, CostNote) is None


def test_links_and_pipes_in_a_store_are_damage(store: DiskStore, tmp_path: Path) -> None:
    blob = store.blob_path(store.blobs_of(KEY)[0])
    (tmp_path / "elsewhere").write_bytes(blob.read_bytes())
    puts: list[Callable[[], None]] = [
        lambda: blob.symlink_to(tmp_path / "elsewhere"),
        lambda: os.mkfifo(blob),
        lambda: blob.mkdir(),
    ]
    for put in puts:
        blob.rmdir() if blob.is_dir() else blob.unlink()
        put()
        with pytest.raises(CorruptRecord):
            used(store)
        assert [Path(fault.place) for fault in store.verify()] == [blob]


def test_a_file_that_says_to_be_huge_is_damage(store: DiskStore) -> None:
    for path in (store.blob_path(store.blobs_of(KEY)[0]), store.trace_path(KEY)):
        with path.open("wb") as file:
            file.truncate(2**43)
        with pytest.raises(CorruptRecord):
            used(store)


def test_pruning_removes_nothing_that_is_not_the_stores(store: DiskStore, tmp_path: Path) -> None:
    (tmp_path / "user" / "ab").mkdir(parents=True)
    own = [tmp_path / "user" / "thesis.txt", tmp_path / "user" / "ab" / OTHER]
    (store.root / "blobs" / "zz").symlink_to(tmp_path / "user" / "ab")
    (store.root / "notes").mkdir()
    (store.root / "notes" / "zz").symlink_to(tmp_path / "user")
    own.append(store.root / "traces" / "thesis.json")
    own.append(store.root / "traces" / KEY[:2] / "thesis.json")
    for path in own:
        path.write_text("")
        os.utime(path, times=(0, 0))
    store.prune(max_bytes=0)
    assert all(path.exists() for path in own) and store.get(KEY) is None


def test_nothing_is_written_through_links_in_a_store(store: DiskStore, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (store.root / "weighed").symlink_to(outside / "weighed")
    store.claims.folder.parent.mkdir(exist_ok=True)
    store.keep_within(10**9)
    store.claims.folder.mkdir()
    store.claims.path(KEY).parent.symlink_to(outside)
    claim = store.claim(KEY, 1.0)
    assert claim is not None
    claim.release()
    (store.root / "notes").mkdir()
    store.note_path(KEY).parent.symlink_to(outside)
    with pytest.raises(Exception, match="link"):
        store.remember(KEY, CostNote(1.0))
    assert [*outside.iterdir()] == []


@pytest.mark.parametrize("claim", [b"{}", b'{"pid":"../1","started":"","since":0,"expected":null}', b"[" * 4000, b"1"])
def test_a_claim_of_another_form_holds_nobody_up(claim: bytes, store: DiskStore) -> None:
    path = store.claims.path(KEY)
    path.parent.mkdir(parents=True)
    path.write_bytes(claim)
    os.utime(path, times=(0, 0))
    assert store.claimed(KEY) is None and store.claim(KEY, 1.0)


def test_a_pipe_in_place_of_a_claim_holds_nobody_up(store: DiskStore) -> None:
    path = store.claims.path(KEY)
    path.parent.mkdir(parents=True)
    os.mkfifo(path)
    assert store.claimed(KEY) is None and store.claim(KEY, 1.0)


@pytest.mark.parametrize(
    "content", [b"", b"x", sealed("layout.json", b'{"weft_store": "9"}'), sealed("layout.json", b"[]")]
)
def test_a_version_that_weft_did_not_write_is_damage(content: bytes, store: DiskStore) -> None:
    (store.folder / "layout.json").write_bytes(content)
    again = DiskStore(store.folder)
    assert [Path(fault.place) for fault in again.verify()] == [store.folder / "layout.json"]
    again.remember(KEY, CostNote(1.0))
    assert again.verify() == []
