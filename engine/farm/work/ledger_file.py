"""The file of a ledger: SQLite in WAL mode, its tables and their version, transactions, and the facts of the job."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

from weft.engine.errors import StoreError
from weft.engine.farm.work.job_facts import VERSION, JobFacts, refuse_newer
from weft.engine.farm.work.publishing import HIDDEN
from weft.engine.sqlite_transaction import written_whole
from weft.engine.unicode_text import exact_json, read_json

_NO_ROOM = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN})
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})

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


class DamagedLedgerError(StoreError):
    """The file of a ledger is not what was written, such as one that was cut short."""


class LostLedgerError(StoreError):
    """Somebody has deleted the file of a ledger that is open, or put another one in its place."""

    @classmethod
    def of(cls, path: Path) -> LostLedgerError:
        """The error for a ledger."""
        hint = "submit the job again: what is published is done, and the ledger is made again from that"
        return cls(f"the ledger {path} was deleted or replaced while it was open", hint)


class _Connection(sqlite3.Connection):
    """Raises `StoreError` where the file cannot be written, `DamagedLedgerError` where it is damaged."""

    path = Path()

    def execute(self, statement: str, values: Any = ()) -> sqlite3.Cursor:
        """A statement."""
        try:
            return super().execute(statement, values)
        except sqlite3.DatabaseError as fault:
            code = getattr(fault, "sqlite_errorcode", 0) & 0xFF
            if code in _NO_ROOM:
                message = f"the ledger {self.path} cannot be written: {fault}"
                raise StoreError(message, "make room, then resume the job") from fault
            if code in _DAMAGED:
                raise damaged(self.path) from fault
            raise


def damaged(path: Path) -> DamagedLedgerError:
    """The error for a ledger that is damaged."""
    hint = "submit the job again: what is published is done, and the ledger is made again from that"
    return DamagedLedgerError(f"the ledger {path} is damaged", hint)


def keep_damaged(path: Path) -> bool:
    """Give a ledger that is damaged another name, `ledger.sqlite.damaged`; whether it was damaged."""
    try:
        with closing(LedgerFile(path)) as ledger:
            ledger.verify()
    except DamagedLedgerError:
        path.replace(path.with_name(f"{path.name}.damaged"))
        for ending in ("-wal", "-shm"):
            path.with_name(f"{path.name}{ending}").unlink(missing_ok=True)
        return True
    return False


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
        self._known: tuple[int, int] | None = None
        try:
            self._base = sqlite3.connect(
                path, timeout=60, isolation_level=None, check_same_thread=False, factory=_Connection
            )
        except sqlite3.OperationalError as fault:
            message = f"the ledger {path} cannot be opened: {fault}"
            raise StoreError(message, "check that the folder can be written to") from fault
        self._base.path = path
        try:
            self._open()
            self._known = self._present()
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
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
        refuse_newer(version, f"the ledger {self.path}")
        return version

    def verify(self) -> None:
        """Read all of the file.

        Raises:
            DamagedLedgerError: where it is not what was written.
        """
        found = self._base.execute("PRAGMA quick_check(1)").fetchone()
        if found is None or found[0] != "ok":
            raise damaged(self.path)

    def close(self) -> None:
        """Close the file."""
        self._base.close()

    def _present(self) -> tuple[int, int] | None:
        """Which file lies where this one is looked for; None where there is none."""
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return None
        return status.st_dev, status.st_ino

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        if self._known and self._present() != self._known:  # what is written to it nobody would read
            raise LostLedgerError.of(self.path)
        with written_whole(self._base):
            yield

    def facts(self) -> JobFacts:
        """The facts of the job."""
        rows = self._base.execute("SELECT name, value FROM facts").fetchall()
        if not rows:  # a file that was cut to nothing is a new one to SQLite
            raise damaged(self.path)
        return JobFacts.read({name: read_json(value) for name, value in rows})

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
    def unkept(self) -> str:
        """Why the store keeps no results of this job; empty where it does."""
        return str(self._fact("unkept", ""))

    def warn(self, unkept: str) -> None:
        """Note that the store keeps no results; the job goes on."""
        if unkept != self.unkept:
            with self._transaction():
                self._keep({"unkept": unkept})

    @property
    def submitted(self) -> float:
        """When the job was submitted, in seconds since 1970."""
        return float(self._fact("submitted", 0.0))

    def _keep(self, plain: Mapping[str, Any]) -> None:
        rows = [(name, exact_json(value).decode()) for name, value in plain.items()]
        self._base.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?)", rows)

    def _fact(self, name: str, otherwise: Any) -> Any:
        row = self._base.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return read_json(row[0]) if row else otherwise

    def _rule(self, name: Literal["retries", "max_failures", "first"]) -> int:
        """One number of the job's facts, read each time since another process may have submitted the job again."""
        return int(self._fact(name, getattr(JobFacts, name)))

    def stop(self, cause: str) -> None:
        """Stop the job for a cause that lies in no item, such as a full disk.

        What SQLite wrote ahead is moved into the ledger first: on a full disk that is the room for the cause.
        """
        with suppress(sqlite3.OperationalError, StoreError):
            self._base.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
        with self._transaction():
            self._keep({"state": "stopped", "cause": cause})
