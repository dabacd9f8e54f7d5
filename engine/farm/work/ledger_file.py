"""The file of a ledger: SQLite in WAL mode, its tables and their version, transactions, and the facts of the job."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import orjson

from weft.engine.errors import InputError, StoreError
from weft.engine.farm.work.job_facts import VERSION, JobFacts, refuse_newer
from weft.engine.farm.work.publishing import HIDDEN

_NO_ROOM = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN})

_TABLES = """
CREATE TABLE IF NOT EXISTS facts(name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS items(
  id TEXT PRIMARY KEY, number INTEGER NOT NULL, rank INTEGER NOT NULL, shared TEXT NOT NULL, name TEXT NOT NULL,
  settings TEXT NOT NULL, state TEXT NOT NULL, worker TEXT NOT NULL DEFAULT '', attempt INTEGER NOT NULL DEFAULT 0,
  until REAL NOT NULL DEFAULT 0, charge REAL NOT NULL DEFAULT 0, error TEXT NOT NULL DEFAULT '',
  seconds REAL NOT NULL DEFAULT 0, ended REAL NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS by_state ON items(state, rank);
CREATE TABLE IF NOT EXISTS workers(
  name TEXT PRIMARY KEY, machine TEXT NOT NULL, pid INTEGER NOT NULL, started TEXT NOT NULL, seen REAL NOT NULL,
  item TEXT NOT NULL DEFAULT '');
CREATE TABLE IF NOT EXISTS faults(item TEXT NOT NULL, worker TEXT NOT NULL, PRIMARY KEY(item, worker));
"""


def ledger_path(folder: Path) -> Path:
    """Where the ledger of a job lies."""
    return folder / HIDDEN / "ledger.sqlite"


class LedgerFile:
    """The ledger in a file; each process opens its own.

    The version of its tables is SQLite's `user_version`; ledgers of Weft 0.1 have 0 and the same tables.

    Args:
        path: made where it is not there.

    Raises:
        InputError: where the ledger is one of a newer version of Weft.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._base = sqlite3.connect(path, timeout=60, isolation_level=None, check_same_thread=False)
        version = self._version()
        self._base.execute("PRAGMA journal_mode=WAL")
        self._base.execute("PRAGMA synchronous=NORMAL")
        with self._transaction():
            for statement in _TABLES.split(";"):
                self._base.execute(statement)
            if version != VERSION:
                self._base.execute(f"PRAGMA user_version={VERSION}")

    def _version(self) -> int:
        """The version of the ledger, read before anything is written to it."""
        version = int(self._base.execute("PRAGMA user_version").fetchone()[0])
        try:
            refuse_newer(version, f"the ledger {self.path}")
        except InputError:
            self.close()
            raise
        return version

    def close(self) -> None:
        """Close the file."""
        self._base.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            self._base.execute("BEGIN IMMEDIATE")
            yield
            self._base.execute("COMMIT")
        except BaseException as fault:
            if self._base.in_transaction:
                self._base.execute("ROLLBACK")
            if isinstance(fault, sqlite3.OperationalError) and fault.sqlite_errorcode & 0xFF in _NO_ROOM:
                raise StoreError(
                    f"the ledger {self.path} cannot be written: {fault}", "make room, then resume the job"
                ) from fault
            raise

    def facts(self) -> JobFacts:
        """The facts of the job."""
        rows = self._base.execute("SELECT name, value FROM facts").fetchall()
        return JobFacts.read({name: orjson.loads(value) for name, value in rows})

    @property
    def title(self) -> str:
        """What the job is, in a few words."""
        return str(self._fact("title", ""))

    @property
    def state(self) -> str:
        """`running`, `paused`, `cancelled` or `stopped`."""
        return str(self._fact("state", "running"))

    def set_state(self, state: str) -> None:
        """Let workers take items (`running`), or not."""
        with self._transaction():
            self._keep({"state": state})

    @property
    def cause(self) -> str:
        """Why the job was stopped last; empty where it never was."""
        return str(self._fact("cause", ""))

    @property
    def submitted(self) -> float:
        """When the job was submitted, in seconds since 1970."""
        return float(self._fact("submitted", 0.0))

    def _keep(self, plain: Mapping[str, Any]) -> None:
        rows = [(name, orjson.dumps(value).decode()) for name, value in plain.items()]
        self._base.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?)", rows)

    def _fact(self, name: str, otherwise: Any) -> Any:
        row = self._base.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return orjson.loads(row[0]) if row else otherwise

    def _rule(self, name: Literal["retries", "max_failures", "first"]) -> int:
        """One number of the job's facts, read each time since another process may have submitted the job again."""
        return int(self._fact(name, getattr(JobFacts, name)))

    def stop(self, cause: str) -> None:
        """Stop the job for a cause that lies in no item, such as a full disk.

        What SQLite wrote ahead is moved into the ledger first: on a full disk that is the room for the cause.
        """
        with suppress(sqlite3.OperationalError):
            self._base.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
        with self._transaction():
            self._keep({"state": "stopped", "cause": cause})
