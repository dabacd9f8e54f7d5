"""Transactions of SQLite on connections that begin none by themselves (`isolation_level=None`)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def written_whole(base: sqlite3.Connection) -> Iterator[None]:
    """What the block writes is written whole at its end, or not at all; others write before or after it.

    Raises:
        sqlite3.Error: where it cannot be written.
    """
    try:
        base.execute("BEGIN IMMEDIATE")
        yield
        base.execute("COMMIT")
    except BaseException:
        if base.in_transaction:
            base.execute("ROLLBACK")
        raise
