"""What the engine's tests share: engines that keep their results and pictures in a folder of the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from weft.engine import Engine


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """An engine with a store in memory over one on disk, both empty."""
    with Engine(store=tmp_path / "store", output=tmp_path / "output", device="cpu") as made:
        yield made


@pytest.fixture
def storeless(tmp_path: Path) -> Iterator[Engine]:
    """An engine that keeps no results."""
    with Engine(store=None, output=tmp_path / "output", device="cpu") as made:
        yield made
