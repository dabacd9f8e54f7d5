"""A transaction is written whole or not at all, and others see none of it before its end."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from weft.engine.sqlite_transaction import written_whole


def test_a_block_that_fails_writes_nothing_and_others_see_whole_ones(tmp_path: Path) -> None:
    path = tmp_path / "base.sqlite"
    with (
        closing(sqlite3.connect(path, isolation_level=None)) as base,
        closing(sqlite3.connect(path, isolation_level=None)) as other,
    ):
        base.execute("CREATE TABLE numbers(n)")

        def seen() -> list[int]:
            return [n for (n,) in other.execute("SELECT n FROM numbers")]

        with written_whole(base):
            base.execute("INSERT INTO numbers VALUES (1)")
            assert seen() == []
        with pytest.raises(KeyError), written_whole(base):
            base.execute("INSERT INTO numbers VALUES (2)")
            raise KeyError
        assert seen() == [1] and not base.in_transaction
