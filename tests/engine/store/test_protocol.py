"""A store that somebody else wrote takes part: alone, as a tier, and in front of a shared store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from weft.engine import Computed, Engine, Graph, Link, Record, Store, node
from weft.engine.keys import Digest
from weft.engine.limits import Limits
from weft.engine.store import Fault, NullStore, Stats
from weft.engine.store.disk import DiskStore
from weft.engine.store.memory import MemoryStore
from weft.engine.store.shared import SharedStore
from weft.engine.store.tiers import Tiers


@dataclass
class Shelf(Store):
    """What an author has to write, and what looks after it."""

    records: dict[Digest, Record] = field(default_factory=dict)
    limits: list[int] = field(default_factory=list)

    def has(self, key: Digest) -> str | None:
        return "shelf" if key in self.records else None

    def get(self, key: Digest) -> Record | None:
        return self.records.get(key)

    def put(self, key: Digest, outputs: Mapping[str, Computed], seconds: float, trace: Mapping[str, Any]) -> None:
        self.records[key] = Record(outputs, seconds, "shelf")

    def drop(self, key: Digest) -> None:
        self.records.pop(key, None)

    def stats(self) -> Stats:
        return Stats(len(self.records))

    def verify(self) -> list[Fault]:
        return [Fault(key, "it is empty") for key, record in self.records.items() if not record.outputs]

    def prune(self, max_bytes: int | None = None, older_than: float | None = None) -> Stats:
        before = self.stats()
        self.records.clear()
        return before

    def keep_within(self, max_bytes: int) -> None:
        self.limits.append(max_bytes)


@node
def Doubled(number: int) -> int:
    """Twice a number."""
    return 2 * number


@node
def Rested(number: int) -> list[int]:
    """A number, after a while."""
    import time

    time.sleep(0.11)
    return [number]


def of(type: Any) -> Graph:
    """A graph of one node."""
    with Graph() as graph:
        type(4, id="only")
    return replace(graph, outputs={"out": Link("only")})


def ran(store: Store, graph: Graph) -> tuple[str, ...]:
    """What runs with a store, whose size is limited to a million bytes."""
    with Engine(store=store, device="cpu", limits=Limits(max_store_bytes=10**6)) as engine:
        return engine.run(graph).ran


@pytest.mark.parametrize("tiers", [False, True])
def test_a_store_of_somebody_else_serves_an_engine(tiers: bool) -> None:
    shelf = Shelf()
    store: Store = Tiers((MemoryStore(0), shelf)) if tiers else shelf
    assert (ran(store, of(Doubled)), ran(store, of(Doubled))) == (("only",), ())
    assert shelf.limits == [10**6]


def test_tiers_count_verify_and_prune_the_stores_of_others_too(tmp_path: Path) -> None:
    shelf, disk = Shelf(), DiskStore(tmp_path)
    tiers = Tiers((shelf, disk))
    ran(tiers, of(Doubled))
    assert shelf.stats() == Stats(1) and tiers.stats() == shelf.stats() + disk.stats()
    shelf.records[Digest("ab")] = Record({}, 0.0)
    assert tiers.verify() == [Fault("ab", "it is empty")]
    held = tiers.stats().records
    assert tiers.prune(max_bytes=0).records == held == 3 and tiers.stats().records == 0


def test_a_store_of_somebody_else_lies_before_a_shared_one(tmp_path: Path) -> None:
    def near(shelf: Shelf) -> Tiers:
        return Tiers((shelf, SharedStore(str(tmp_path), shelf)))

    first, second = Shelf(), Shelf()
    assert (ran(near(first), of(Rested)), ran(near(second), of(Rested))) == (("only",), ())
    assert first.records.keys() == second.records.keys()


def test_a_shared_store_serves_where_the_nearer_one_keeps_nothing(tmp_path: Path) -> None:
    ran(SharedStore(str(tmp_path), NullStore()), of(Rested))
    assert ran(SharedStore(str(tmp_path), NullStore()), of(Rested)) == ()


def test_a_store_without_upkeep_has_nothing_to_look_after() -> None:
    store = NullStore()
    store.keep_within(0)
    assert (store.stats(), store.verify(), store.prune(max_bytes=0)) == (Stats(), [], Stats())
