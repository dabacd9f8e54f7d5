"""The store in memory: within its budget, and what takes longest to compute again stays longest. Tiers compose."""

from __future__ import annotations

import torch

from weft.engine.keys import digest
from weft.engine.store import Computed, NullStore
from weft.engine.store.codec import content_digest
from weft.engine.store.memory import MemoryStore, size_of

KILOBYTE = b"x" * 1000


def made(item: object) -> dict[str, Computed]:
    """What a call with one output gave."""
    return {"out": Computed(item, content_digest(item))}


def fill(store: MemoryStore, seconds: dict[str, float]) -> list[str]:
    """Put a kilobyte under each name, computed in so many seconds; the names that are still kept."""
    for name, one in seconds.items():
        store.put(digest(name), made(KILOBYTE), one, {})
    return [name for name in seconds if store.has(digest(name))]


def test_values_come_back_as_they_are() -> None:
    store, item = MemoryStore(), torch.ones(2)
    store.put(digest("key"), made(item), 0.5, {})
    record = store.get(digest("key"))
    assert record is not None and record.outputs["out"].load() is item
    assert (record.seconds, store.has(digest("key"))) == (0.5, "memory")


def test_what_is_cheap_to_compute_goes_first() -> None:
    kept = fill(MemoryStore(budget=6000), {"cheap": 0.1, "dear": 9.0, "a": 1.0, "b": 1.0})
    assert "dear" in kept and "cheap" not in kept


def test_what_is_never_used_again_goes_in_the_end() -> None:
    store = MemoryStore(budget=6000)
    assert "dear" in fill(store, {"dear": 3.0, **{f"early {n}": 1.0 for n in range(4)}})
    fill(store, {f"later {n}": 1.0 for n in range(100)})
    assert store.has(digest("dear")) is None


def test_the_budget_is_kept() -> None:
    store = MemoryStore(budget=10_000)
    assert 4 <= len(fill(store, {str(n): 1.0 for n in range(100)})) <= 9
    store.put(digest("huge"), made(b"x" * 20_000), 1.0, {})
    assert store.has(digest("huge")) is None


def test_putting_again_and_dropping_leave_nothing_behind() -> None:
    store = MemoryStore(budget=4000)
    for _ in range(10):
        store.put(digest("key"), made(KILOBYTE), 1.0, {})
    store.put(digest("other"), made(KILOBYTE), 1.0, {})
    assert store.has(digest("key")) and store.has(digest("other"))
    store.drop(digest("key"))
    assert store.has(digest("key")) is None and store.get(digest("key")) is None


def test_sizes_count_tensors_and_bytes() -> None:
    assert 4000 <= size_of([torch.ones(1000)]) <= 5000
    assert 1000 <= size_of({"a": KILOBYTE}) <= 2000 and size_of(5) < 100


def test_nowhere_keeps_nothing() -> None:
    store = NullStore()
    store.put(digest("key"), made(1), 0.0, {})
    store.drop(digest("key"))
    assert store.has(digest("key")) is None and store.get(digest("key")) is None
