"""The file of a server's queue: SQLite, opened, brought to today's version, and written in transactions.

What was written down is on the disk (`synchronous=FULL`): neither the end of the process nor of the machine loses it.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from weft.engine.errors import InputError, StoreError
from weft.engine.serve.queue_tables import ADDED, TABLES, VERSION

CACHE_KIB = 256
"""Of pages of the file in memory: the system has them besides, and a request needs a few."""


class QueueFile:
    """A file with the tables of a queue; one process opens it at a time.

    Args:
        path: made where it is not there.

    Raises:
        InputError: where it is one of a newer version of Weft.
        StoreError: where it cannot be opened, or is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock = threading.RLock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.base = self._connected()
            version = int(self.base.execute("PRAGMA user_version").fetchone()[0])
            if (found := self.base.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
                raise sqlite3.DatabaseError(f"it is damaged: {found}")
        except (sqlite3.DatabaseError, OSError) as fault:
            message = f"the queue {path} cannot be opened: {fault}"
            hint = "name a folder that can be written to with --data DIR, or move the file away and lose what waits"
            raise StoreError(message, hint) from fault
        if version > VERSION:
            self.close()
            message = f"the queue {path} has version {version}, this Weft reads {VERSION}"
            raise InputError(message, "update Weft, or name another folder with --data DIR", "unsupported-version")
        with self.transaction():
            for column in (one for since, one in ADDED if 0 < version < since):
                self.base.execute(f"ALTER TABLE runs ADD COLUMN {column}")
            for statement in TABLES.split(";"):
                self.base.execute(statement)
            self.base.execute(f"PRAGMA user_version={VERSION}")

    def _connected(self) -> sqlite3.Connection:
        base = sqlite3.connect(self.path, timeout=60, isolation_level=None, check_same_thread=False)
        base.execute("PRAGMA journal_mode=WAL")
        base.execute("PRAGMA synchronous=FULL")
        base.execute(f"PRAGMA cache_size={-CACHE_KIB}")
        return base

    def close(self) -> None:
        """Close the file."""
        with self.lock:
            self.base.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """What the block writes is written whole and on the disk afterwards, or not at all."""
        with self.lock:
            try:
                self.base.execute("BEGIN IMMEDIATE")
                yield
                self.base.execute("COMMIT")
            except BaseException:
                if self.base.in_transaction:
                    self.base.execute("ROLLBACK")
                raise
