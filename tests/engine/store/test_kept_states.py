"""States of calls that have not ended: bit for bit, replaced whole, gone once they are dropped."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
import torch

from weft.engine.keys import digest
from weft.engine.store.disk import DiskStore
from weft.engine.store.memory import MemoryStore
from weft.engine.store.tiers import Tiers
from weft.engine.store.upkeep import FORGET

KEY = digest("a call")


@pytest.fixture
def store(tmp_path: Path) -> DiskStore:
    """An empty store."""
    return DiskStore(tmp_path / "store")


def state_file(store: DiskStore) -> Path:
    (found,) = (store.root / "states").glob("*/*")
    return found


def test_a_state_comes_back_as_it_was(store: DiskStore) -> None:
    kept = {"step": 3, "losses": [0.1, 1e-9], "weights": {"a": torch.randn(3), 1: torch.ones(2).half()}, "file": b"x"}
    tiers = Tiers((MemoryStore(), store))
    tiers.keep_state(KEY, {"step": 2})
    tiers.keep_state(KEY, kept)
    found = tiers.kept_state(KEY)
    assert found and (found["step"], found["losses"], found["file"]) == (3, [0.1, 1e-9], b"x")
    weights, others = found["weights"], kept["weights"]
    assert isinstance(others, dict) and all(torch.equal(weights[name], others[name]) for name in others)
    assert store.stats().bytes == state_file(store).stat().st_size
    tiers.drop_state(KEY)
    assert tiers.kept_state(KEY) is None and not [*(store.root / "states").glob("*/*")]
    tiers.drop_state(KEY)


@pytest.mark.parametrize("content", [b"", b"x" * 80, None])
def test_a_damaged_state_counts_as_none(store: DiskStore, content: bytes | None) -> None:
    store.keep_state(KEY, {"weights": torch.randn(100)})
    path = state_file(store)
    path.write_bytes(path.read_bytes()[:-1] if content is None else content)
    assert store.kept_state(KEY) is None


def test_a_state_that_nobody_goes_on_from_is_pruned(store: DiskStore) -> None:
    store.keep_state(KEY, {"step": 1})
    store.prune()
    assert store.kept_state(KEY)
    old = time.time() - FORGET - 60
    os.utime(state_file(store), (old, old))
    store.prune()
    assert store.kept_state(KEY) is None
