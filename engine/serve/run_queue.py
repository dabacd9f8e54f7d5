"""The queue of a server in one SQLite file: what was accepted is there until it has ended, whatever happens between.

A request is written down before it is answered (`synchronous=FULL`), so neither the end of the process nor of the
machine loses one. Who is next: the greatest priority, then the caller who had least of the time, then the oldest. A run
counts for its seconds and one more, divided by the caller's share; a caller who was away does not save up time.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from weft.engine.errors import InputError, StoreError
from weft.engine.serve.callers import Quota
from weft.engine.serve.served_run import RunEnd, RunRequest, ServedRun, new_id
from weft.engine.unicode_text import exact_json, read_json

VERSION = 1
"""The version of the tables, SQLite's `user_version`."""

ATTEMPTS = 3
"""How often a run is begun whose server ended meanwhile, before it counts as what ends the server."""

BEGINNING = 10.0
"""Seconds after which a run that was begun is known to whoever runs it."""

DAY = 86400.0

_TABLES = """
CREATE TABLE IF NOT EXISTS runs(
  number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, caller TEXT NOT NULL, graph TEXT NOT NULL, title TEXT NOT NULL,
  state TEXT NOT NULL, priority INTEGER NOT NULL, submitted REAL NOT NULL, started REAL NOT NULL DEFAULT 0,
  ended REAL NOT NULL DEFAULT 0, attempt INTEGER NOT NULL DEFAULT 0, parameters TEXT NOT NULL, wanted TEXT NOT NULL,
  result TEXT, error TEXT, bytes INTEGER NOT NULL DEFAULT 0, key TEXT, fingerprint TEXT NOT NULL,
  document BLOB NOT NULL);
CREATE UNIQUE INDEX IF NOT EXISTS by_key ON runs(caller, key);
CREATE INDEX IF NOT EXISTS by_state ON runs(state, number);
CREATE INDEX IF NOT EXISTS by_caller ON runs(caller, number);
CREATE TABLE IF NOT EXISTS shares(caller TEXT PRIMARY KEY, had REAL NOT NULL);
"""

_COLUMNS = (
    "id, caller, graph, title, state, priority, submitted, started, ended, attempt, parameters, wanted, result, error, "
    "bytes"
)


class QueueFull(Exception):  # noqa: N818 - an answer rather than a fault
    """No more runs are taken now.

    Args:
        reason: what is full, for people.
        seconds: after which it may be tried again.
    """

    def __init__(self, reason: str, seconds: float) -> None:
        super().__init__(reason)
        self.reason = reason
        self.seconds = seconds


class KeyReused(Exception):  # noqa: N818 - an answer rather than a fault
    """A key that names another request of this caller already."""


class RunQueue:
    """Runs in a file; one process opens it at a time.

    Args:
        path: made where it is not there.
        most: runs that may wait or run at a time, of all callers.
        quota: what a caller may have, by name.

    Raises:
        InputError: where it is one of a newer version of Weft.
    """

    def __init__(self, path: Path, most: int = 1000, quota: Callable[[str], Quota] = lambda name: Quota()) -> None:
        self.most = most
        self.quota = quota
        self._lock = threading.RLock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._base = sqlite3.connect(path, timeout=60, isolation_level=None, check_same_thread=False)
            self._base.execute("PRAGMA journal_mode=WAL")
            self._base.execute("PRAGMA synchronous=FULL")
            version = int(self._base.execute("PRAGMA user_version").fetchone()[0])
        except (sqlite3.DatabaseError, OSError) as fault:
            message = f"the queue {path} cannot be opened: {fault}"
            raise StoreError(message, "name a folder that can be written to with --data DIR") from fault
        if version > VERSION:
            self.close()
            message = f"the queue {path} has version {version}, this Weft reads {VERSION}"
            raise InputError(message, "update Weft, or name another folder with --data DIR", "unsupported-version")
        with self._transaction():
            for statement in _TABLES.split(";"):
                self._base.execute(statement)
            self._base.execute(f"PRAGMA user_version={VERSION}")

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._base.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._lock:
            try:
                self._base.execute("BEGIN IMMEDIATE")
                yield
                self._base.execute("COMMIT")
            except BaseException:
                if self._base.in_transaction:
                    self._base.execute("ROLLBACK")
                raise

    def recover(self) -> int:
        """Give back what ran when the last server ended; how many wait now.

        What ended a server so often that it must be the cause has failed.
        """
        error = {"message": f"the server ended while it ran, {ATTEMPTS} times", "code": "server-ended"}
        with self._transaction():
            self._base.execute(
                "UPDATE runs SET state = 'failed', ended = ?, error = ? WHERE state = 'running' AND attempt >= ?",
                (time.time(), _text(error), ATTEMPTS),
            )
            self._base.execute("UPDATE runs SET state = 'queued', started = 0 WHERE state = 'running'")
        return self.counts().get("queued", 0)

    def submit(self, request: RunRequest) -> tuple[ServedRun, bool]:
        """Write a request down, or find the one that has its key; whether it is a new one.

        Raises:
            KeyReused: where its key names another request.
            QueueFull: where no more are taken now.
        """
        with self._transaction():
            if request.key and (found := self._of_key(request)):
                return found, False
            self._check_room(request.caller)
            self._catch_up(request.caller)
            now, id = time.time(), new_id()
            self._base.execute(
                "INSERT INTO runs(id, caller, graph, title, state, priority, submitted, parameters, wanted, key, "
                "fingerprint, document) VALUES (?, ?, ?, ?, 'queued', ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(id, request.caller, request.graph, request.title, request.priority, now),
                    *(_text(dict(request.parameters)), _text(list(request.only)), request.key or None),
                    *(request.fingerprint, request.document),
                ),
            )
            return self._one("id = ?", id), True

    def find(self, caller: str, key: str) -> ServedRun | None:
        """The run that a caller gave a key."""
        with self._lock:
            return self._maybe("caller = ? AND key = ?", caller, key)

    def _of_key(self, request: RunRequest) -> ServedRun | None:
        values = (request.caller, request.key)
        row = self._base.execute("SELECT fingerprint FROM runs WHERE caller = ? AND key = ?", values).fetchone()
        if row is None:
            return None
        if row[0] != request.fingerprint:
            raise KeyReused
        return self._one("caller = ? AND key = ?", *values)

    def _check_room(self, caller: str) -> None:
        rows = self._base.execute(
            "SELECT caller = ?, COUNT(*) FROM runs WHERE state IN ('queued', 'running') GROUP BY 1", (caller,)
        ).fetchall()
        own, all_of_them = dict(rows).get(1, 0), sum(count for _, count in rows)
        quota = self.quota(caller)
        if own >= quota.waiting:
            raise QueueFull(f"{own} runs of yours wait or run, at most {quota.waiting} may", self._pace(own))
        if all_of_them >= self.most:
            raise QueueFull(f"{all_of_them} runs wait or run, at most {self.most} may", self._pace(all_of_them))
        if quota.seconds_a_day is not None and self.seconds_since(caller, time.time() - DAY) >= quota.seconds_a_day:
            raise QueueFull(f"your runs took {quota.seconds_a_day:g} s in the last 24 hours, which is all", 3600.0)

    def seconds_since(self, caller: str, since: float) -> float:
        """For how long runs of a caller have run that ended since then."""
        with self._lock:
            statement = "SELECT TOTAL(ended - started) FROM runs WHERE caller = ? AND ended > ? AND started > 0"
            return float(self._base.execute(statement, (caller, since)).fetchone()[0])

    def _pace(self, ahead: int) -> float:
        """Seconds until one of so many runs has probably ended."""
        row = self._base.execute(
            "SELECT COUNT(*), MIN(ended) FROM (SELECT ended FROM runs WHERE ended > ? ORDER BY ended DESC LIMIT 20)",
            (time.time() - 600,),
        ).fetchone()
        each = (time.time() - row[1]) / row[0] if row[0] else 2.0
        return min(max(1.0, each * max(1, ahead // 10)), 600.0)

    def _catch_up(self, caller: str) -> None:
        """One who had nothing in the queue begins where those are who had least of those in it."""
        busy = "SELECT DISTINCT caller FROM runs WHERE state IN ('queued', 'running')"
        if self._base.execute(f"{busy} AND caller = ?", (caller,)).fetchone():
            return
        row = self._base.execute(f"SELECT MIN(had) FROM shares WHERE caller IN ({busy})").fetchone()
        self._base.execute(
            "INSERT INTO shares VALUES (?, ?) ON CONFLICT(caller) DO UPDATE SET had = MAX(had, excluded.had)",
            (caller, row[0] or 0.0),
        )

    def take(self) -> tuple[ServedRun, bytes] | None:
        """Begin the run that is next; None where none waits that may run now. Gives its graph too."""
        with self._transaction():
            running = dict(
                self._base.execute("SELECT caller, COUNT(*) FROM runs WHERE state = 'running' GROUP BY caller")
            )
            waiting = self._base.execute(
                "SELECT id, runs.caller FROM runs LEFT JOIN shares ON shares.caller = runs.caller "
                "WHERE state = 'queued' ORDER BY priority DESC, COALESCE(had, 0), number"
            )
            for id, caller in waiting:
                if running.get(caller, 0) < self.quota(caller).running:
                    waiting.close()
                    return self._begin(id, caller)
        return None

    def begin(self, id: str) -> tuple[ServedRun, bytes] | None:
        """Begin a run out of turn; None where it waits no more."""
        with self._transaction():
            row = self._base.execute("SELECT caller FROM runs WHERE id = ? AND state = 'queued'", (id,)).fetchone()
            return self._begin(id, row[0]) if row else None

    def _begin(self, id: str, caller: str) -> tuple[ServedRun, bytes]:
        self._base.execute(
            "UPDATE runs SET state = 'running', started = ?, attempt = attempt + 1 WHERE id = ?", (time.time(), id)
        )
        self._charge(caller, 1.0)
        return self._one("id = ?", id), self.document(id)

    def _charge(self, caller: str, seconds: float) -> None:
        self._base.execute(
            "INSERT INTO shares VALUES (?, ?) ON CONFLICT(caller) DO UPDATE SET had = had + excluded.had",
            (caller, seconds / self.quota(caller).share),
        )

    def end(self, run: ServedRun, outcome: RunEnd) -> ServedRun | None:
        """Write down how an attempt ended; None where the run is in another attempt, or over, by now."""
        now, result, error = time.time(), outcome.result, outcome.error
        size = sum(one["bytes"] for one in outcome.files)
        with self._transaction():
            changed = self._base.execute(
                "UPDATE runs SET state = ?, ended = ?, result = ?, error = ?, bytes = ? "
                "WHERE id = ? AND state = 'running' AND attempt = ?",
                (
                    *(outcome.state, now, None if result is None else _text(result)),
                    *(None if error is None else _text(error), size, run.id, run.attempt),
                ),
            )
            if not changed.rowcount:
                return None
            self._charge(run.caller, now - run.started)
            return self._one("id = ?", run.id)

    def give_back(self, run: ServedRun) -> None:
        """Let a run wait again that was begun and is not to end here; this attempt does not count."""
        with self._transaction():
            self._base.execute(
                "UPDATE runs SET state = 'queued', started = 0, attempt = attempt - 1 "
                "WHERE id = ? AND state = 'running' AND attempt = ?",
                (run.id, run.attempt),
            )

    def give_back_all_but(self, ids: Collection[str]) -> None:
        """Let runs wait again that were begun and that nobody runs: how they ended could not be written down."""
        with self._transaction():
            begun = self._base.execute(
                "SELECT id FROM runs WHERE state = 'running' AND started < ?", (time.time() - BEGINNING,)
            ).fetchall()
            left = [(id,) for (id,) in begun if id not in ids]
            self._base.executemany("UPDATE runs SET state = 'queued', started = 0 WHERE id = ?", left)

    def cancel(self, id: str) -> ServedRun | None:
        """Cancel a run that waits; one that runs is as it was, and whoever runs it must be asked. None if unknown."""
        with self._transaction():
            self._base.execute(
                "UPDATE runs SET state = 'cancelled', ended = ? WHERE id = ? AND state = 'queued'", (time.time(), id)
            )
            return self._maybe("id = ?", id)

    def get(self, id: str) -> ServedRun | None:
        """A run by its id."""
        with self._lock:
            return self._maybe("id = ?", id)

    def document(self, id: str) -> bytes:
        """The graph of a run, as a graph file has it."""
        with self._lock:
            return bytes(self._base.execute("SELECT document FROM runs WHERE id = ?", (id,)).fetchone()[0])

    def waiting(self) -> list[str]:
        """The ids of runs that wait, the oldest first."""
        with self._lock:
            return [id for (id,) in self._base.execute("SELECT id FROM runs WHERE state = 'queued' ORDER BY number")]

    def waiting_like(self, id: str) -> list[str]:
        """The ids of runs that wait for what another one asked for too."""
        with self._lock:
            asked = "(SELECT fingerprint FROM runs WHERE id = ?)"
            statement = f"SELECT id FROM runs WHERE state = 'queued' AND fingerprint = {asked}"
            return [found for (found,) in self._base.execute(statement, (id,))]

    def ahead(self, run: ServedRun) -> int:
        """How many runs that wait are older, or of greater priority: about how many go first."""
        with self._lock:
            statement = (
                "SELECT COUNT(*) FROM runs WHERE state = 'queued' AND id != ? AND (priority > ? OR "
                "(priority = ? AND submitted < ?))"
            )
            row = self._base.execute(statement, (run.id, run.priority, run.priority, run.submitted)).fetchone()
            return int(row[0])

    def listed(
        self, *, caller: str = "", graph: str | None = None, state: str = "", before: str = "", limit: int = 50
    ) -> list[ServedRun]:
        """Runs, the newest first.

        Args:
            caller, graph, state: only those that have it; None or empty takes all.
            before: the id of the run after which the list goes on.
        """
        tests, values = ["1"], list[Any]()
        for column, wanted in (("caller", caller or None), ("graph", graph), ("state", state or None)):
            if wanted is not None:
                tests.append(f"{column} = ?")
                values.append(wanted)
        if before:
            tests.append("number < COALESCE((SELECT number FROM runs WHERE id = ?), 0)")
            values.append(before)
        with self._lock:
            statement = f"SELECT {_COLUMNS} FROM runs WHERE {' AND '.join(tests)} ORDER BY number DESC LIMIT ?"
            return [_run(row) for row in self._base.execute(statement, (*values, limit))]

    def counts(self) -> Mapping[str, int]:
        """How many runs are in each state."""
        with self._lock:
            return dict(self._base.execute("SELECT state, COUNT(*) FROM runs GROUP BY state"))

    def counts_by_caller(self) -> Mapping[str, Mapping[str, int]]:
        """How many runs of each caller wait and run."""
        found: dict[str, dict[str, int]] = {}
        statement = (
            "SELECT caller, state, COUNT(*) FROM runs WHERE state IN ('queued', 'running') GROUP BY caller, state"
        )
        with self._lock:
            for caller, state, count in self._base.execute(statement):
                found.setdefault(caller, {})[state] = count
        return found

    def forget(self, most_bytes: int, most_runs: int) -> list[str]:
        """Drop the oldest runs that have ended, where their files or their number are beyond a limit; their ids."""
        with self._transaction():
            total, count = self._base.execute("SELECT TOTAL(bytes), COUNT(*) FROM runs").fetchone()
            dropped = []
            ended = "SELECT id, bytes FROM runs WHERE state IN ('done', 'failed', 'cancelled') ORDER BY number"
            for id, size in self._base.execute(ended):
                if total <= most_bytes and count <= most_runs:
                    break
                total, count = total - size, count - 1
                dropped.append(id)
            self._base.executemany("DELETE FROM runs WHERE id = ?", [(id,) for id in dropped])
        return dropped

    def _one(self, test: str, *values: object) -> ServedRun:
        found = self._maybe(test, *values)
        assert found is not None
        return found

    def _maybe(self, test: str, *values: object) -> ServedRun | None:
        row = self._base.execute(f"SELECT {_COLUMNS} FROM runs WHERE {test}", values).fetchone()
        return _run(row) if row else None


def _run(row: tuple[Any, ...]) -> ServedRun:
    id, caller, graph, title, state, priority, submitted, started, ended, attempt, *rest, bytes = row
    parameters, only, result, error = rest
    return ServedRun(
        *(id, caller, graph, title, state, priority, submitted, started, ended, attempt),
        parameters=read_json(parameters),
        only=tuple(read_json(only)),
        result=None if result is None else read_json(result),
        error=None if error is None else read_json(error),
        bytes=bytes,
    )


def _text(plain: object) -> str:
    return exact_json(plain).decode()
