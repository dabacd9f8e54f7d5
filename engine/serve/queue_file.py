"""The file of a server's queue: SQLite, opened, brought to today's version, and written in transactions.

What was written down is on the disk (`synchronous=FULL`): neither the end of the process nor of the machine loses it.
A file that somebody deletes stays readable for who has it open, and gone for everyone after: so before and after each
transaction, and now and then, it is looked at whether the open file is the one of the path, and one that is gone is
written again.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from weft.engine.errors import InputError, StoreError
from weft.engine.flushed_files import flush
from weft.engine.serve.queue_tables import ADDED, TABLES, VERSION
from weft.engine.sqlite_transaction import written_whole

LOGGER = logging.getLogger("weft.serve")

CACHE_KIB = 256
"""Of pages of the file in memory: the system has them besides, and a request needs a few."""

COMPANIONS = ("-wal", "-shm")
"""The endings of what SQLite keeps next to a file: what was written last, and who reads what."""


class QueueReplaced(sqlite3.OperationalError):
    """Another file lies where the queue's was, or another server has the folder."""


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
        self.held: Callable[[], None] = lambda: None
        """Raises `QueueReplaced` where the folder is not this server's any more."""
        self._known: dict[Path, tuple[int, int]] = {}
        self._closed = False
        self._files = (path, *self._companions(path))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._take_up()
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
        self._known = self._present()

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
            self.check()
            with written_whole(self.base):
                yield
            self.check()

    def check(self) -> None:
        """See to it that what is written is written to the file of the path; one that is gone is written again.

        Raises:
            QueueReplaced: where another file lies there.
            sqlite3.DatabaseError: where it is gone, and cannot be written again.
        """
        with self.lock:
            if not self._known or self.base.in_transaction:
                return
            self.held()
            if (found := self._present()) == self._known:
                return
            if found.get(self.path, self._known[self.path]) != self._known[self.path]:
                message = (
                    f"{self.path.name} was replaced by another file: move that away, and the queue is written again"
                )
                raise QueueReplaced(message)
            try:
                self._write_again()
            except OSError as fault:
                raise sqlite3.OperationalError(f"the queue was deleted, and cannot be written: {fault}") from fault

    def _present(self) -> dict[Path, tuple[int, int]]:
        """What the files are that lie where this one has them: device and number of each."""
        found = {}
        for path in self._files:
            with suppress(FileNotFoundError):
                status = path.stat()
                found[path] = status.st_dev, status.st_ino
        return found

    def _companions(self, path: Path) -> list[Path]:
        return [path.with_name(path.name + ending) for ending in COMPANIONS]

    @property
    def _again(self) -> Path:
        return self.path.with_name(f"{self.path.name}.again")

    def _write_again(self) -> None:
        """Write all that is in the open file to a new one, and put that in the place of the path.

        The old one is closed in between, since SQLite removes its companions by name then.
        """
        if not self._closed:
            LOGGER.error("the queue was deleted: it is written again", extra={"file": self.path.name})
            self.path.parent.mkdir(parents=True, exist_ok=True)
            part = self.path.with_name(f"{self.path.name}.part")
            for path in (part, *self._companions(part)):
                path.unlink(missing_ok=True)
            with closing(sqlite3.connect(part)) as copy:
                self.base.backup(copy)
            flush(part)
            part.replace(self._again)
            self.base.close()
            self._closed = True
        self._take_up()
        self.base = self._connected()
        self._closed = False
        self.base.execute(f"PRAGMA user_version={VERSION}")  # its companions are there from now on
        self._known = self._present()

    def _take_up(self) -> None:
        """Put what was written again in its place, by an earlier process too."""
        if not self._again.exists():
            return
        for path in self._companions(self.path):
            path.unlink(missing_ok=True)
        self._again.replace(self.path)
        flush(self.path.parent)
