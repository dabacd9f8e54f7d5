"""Tiers ask their stores in turn and write to all of them."""

from __future__ import annotations

from pathlib import Path

from weft.engine.keys import digest
from weft.engine.store import Computed, CostNote, ResultNote
from weft.engine.store.codec import content_digest
from weft.engine.store.disk import DiskStore
from weft.engine.store.memory import MemoryStore
from weft.engine.store.tiers import Tiers


def made(item: object) -> dict[str, Computed]:
    """The outputs of a call with one output."""
    return {"out": Computed(item, content_digest(item))}


def test_tiers_ask_the_fastest_first(tmp_path: Path) -> None:
    fast, lasting = MemoryStore(), DiskStore(tmp_path)
    tiers = Tiers((fast, lasting))
    tiers.put(digest("key"), made(1), 0.0, {})
    assert tiers.has(digest("key")) == "memory"
    fast.drop(digest("key"))
    record = tiers.get(digest("key"))
    assert tiers.has(digest("key")) == "disk" and record is not None and record.tier == "disk"
    tiers.drop(digest("key"))
    assert tiers.has(digest("key")) is None


def test_tiers_recall_from_the_first_that_knows_and_remember_in_all(tmp_path: Path) -> None:
    fast, lasting = MemoryStore(), DiskStore(tmp_path)
    lasting.remember(digest("recipe"), ResultNote(digest("content")))
    tiers = Tiers((fast, lasting))
    assert tiers.recall(digest("recipe"), ResultNote) == ResultNote(digest("content"))
    tiers.remember(digest("type"), CostNote(2.0))
    assert fast.recall(digest("type"), CostNote) == lasting.recall(digest("type"), CostNote) == CostNote(2.0)
