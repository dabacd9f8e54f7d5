"""The queue of a server in one SQLite file: what was accepted is there until it has ended, whatever happens between.

A request is written down before it is answered (`synchronous=FULL`), so neither the end of the process nor of the
machine loses one. Who is next: the greatest priority, then the caller who had least of the time, then the oldest. A run
counts for its seconds and one more, divided by the caller's share; a caller who was away does not save up time.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from weft.engine.serve.callers import Quota
from weft.engine.serve.queue_file import QueueFile
from weft.engine.serve.queue_tables import COLUMNS, plain_text, run_of_row
from weft.engine.serve.run_clock import RunClock
from weft.engine.serve.served_run import RunEnd, RunRequest, ServedRun, new_id, shown_worker
from weft.engine.unicode_text import read_json

ATTEMPTS = 3
"""How often a run is begun whose server or worker ended meanwhile, before it counts as what ends them."""

MOST_DECLINED = 20_000
"""Of how many runs it is remembered at most that a worker cannot run them."""

BEGINNING = 10.0
"""Seconds after which a run that was begun is known to whoever runs it."""

DAY = 86400.0


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


class LeaseLost(Exception):  # noqa: N818 - an answer rather than a fault
    """A run is not under this lease any more."""


class RunQueue:
    """Runs in a file; one process opens it at a time.

    Args:
        path: made where it is not there.
        most: runs that may wait or run at a time, of all callers.
        quota: what a caller may have, by name.

    Raises:
        InputError: where it is one of a newer version of Weft.
        StoreError: where it cannot be opened, or is damaged.
    """

    def __init__(self, path: Path, most: int = 1000, quota: Callable[[str], Quota] = lambda name: Quota()) -> None:
        self.most = most
        self.quota = quota
        self.file = QueueFile(path)
        self.clock = RunClock()

    def close(self) -> None:
        """Close the file."""
        self.file.close()

    def recover(self) -> int:
        """Give back what ran when the last server ended; how many wait now. What workers have goes on.

        What ended a server so often that it must be the cause has failed.
        """
        with self.file.transaction():
            self._give_up("state = 'running' AND lease = ''", _ended_while("server"))
            self.file.base.execute("DELETE FROM declined")  # what a worker lacked it may have by now
        return self.counts().get("queued", 0)

    def _give_up(self, test: str, error: Mapping[str, Any], *values: object) -> None:
        """Let runs wait again whose attempts gave nothing; those that were to be cancelled, or were begun too often,
        have ended by that."""
        now, running = time.time(), f"WHERE state = 'running' AND {test}"
        cancelled = f"UPDATE runs SET state = 'cancelled', ended = ? {running} AND stop"
        self.file.base.execute(cancelled, (now, *values))
        failed = f"UPDATE runs SET state = 'failed', ended = ?, error = ? {running} AND attempt >= ?"
        self.file.base.execute(failed, (now, plain_text(error), *values, ATTEMPTS))
        self.file.base.execute(f"UPDATE runs SET {_WAITING} {running}", values)

    def submit(
        self, request: RunRequest, accepted: Callable[[ServedRun], None] = lambda run: None
    ) -> tuple[ServedRun, bool]:
        """Write a request down, or find the one that has its key; whether it is a new one.

        Args:
            accepted: called with a new run before anyone can take it.

        Raises:
            KeyReused: where its key names another request.
            QueueFull: where no more are taken now.
        """
        with self.file.transaction():
            if request.key and (found := self._of_key(request)):
                return found, False
            self._check_room(request.caller)
            self._catch_up(request.caller)
            now, id = time.time(), new_id()
            self.file.base.execute(
                "INSERT INTO runs(id, caller, graph, title, state, priority, submitted, parameters, wanted, key, "
                "fingerprint, document) VALUES (?, ?, ?, ?, 'queued', ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(id, request.caller, request.graph, request.title, request.priority, now),
                    *(plain_text(dict(request.parameters)), plain_text(list(request.only)), request.key or None),
                    *(request.fingerprint, request.document),
                ),
            )
            run = self._one("id = ?", id)
            accepted(run)
            return run, True

    def find(self, caller: str, key: str) -> ServedRun | None:
        """The run that a caller gave a key."""
        with self.file.lock:
            return self._maybe("caller = ? AND key = ?", caller, key)

    def _of_key(self, request: RunRequest) -> ServedRun | None:
        values = (request.caller, request.key)
        row = self.file.base.execute("SELECT fingerprint FROM runs WHERE caller = ? AND key = ?", values).fetchone()
        if row is None:
            return None
        if row[0] != request.fingerprint:
            raise KeyReused
        return self._one("caller = ? AND key = ?", *values)

    def _check_room(self, caller: str) -> None:
        rows = self.file.base.execute(
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
        with self.file.lock:
            statement = "SELECT TOTAL(ended - started) FROM runs WHERE caller = ? AND ended > ? AND started > 0"
            return float(self.file.base.execute(statement, (caller, since)).fetchone()[0])

    def _pace(self, ahead: int) -> float:
        """Seconds until one of so many runs has probably ended."""
        row = self.file.base.execute(
            "SELECT COUNT(*), MIN(ended) FROM (SELECT ended FROM runs WHERE ended > ? ORDER BY ended DESC LIMIT 20)",
            (time.time() - 600,),
        ).fetchone()
        each = (time.time() - row[1]) / row[0] if row[0] else 2.0
        return min(max(1.0, each * max(1, ahead // 10)), 600.0)

    def _catch_up(self, caller: str) -> None:
        """One who had nothing in the queue begins where those are who had least of those in it."""
        busy = "SELECT DISTINCT caller FROM runs WHERE state IN ('queued', 'running')"
        if self.file.base.execute(f"{busy} AND caller = ?", (caller,)).fetchone():
            return
        row = self.file.base.execute(f"SELECT MIN(had) FROM shares WHERE caller IN ({busy})").fetchone()
        self.file.base.execute(
            "INSERT INTO shares VALUES (?, ?) ON CONFLICT(caller) DO UPDATE SET had = MAX(had, excluded.had)",
            (caller, row[0] or 0.0),
        )

    def take(
        self,
        worker: str = "",
        unfit: Callable[[str], str] = lambda id: "",
        *,
        offered: Callable[[str, bool], bool] = lambda id, twin: True,
        known: bool = False,
    ) -> tuple[ServedRun, bytes] | None:
        """Begin the run that is next; None where none waits that may run now. Gives its graph too.

        Args:
            worker: that takes it under a lease; empty for the server itself. What it could not run is passed over.
            unfit: why this worker cannot run one, by its id, which is remembered; empty where it can.
            offered: whether one may be begun yet, by its id, and whether one that equals it goes on: with a worker, or
                for a worker anywhere.
            known: whether only what an earlier run may have the result of.
        """
        reasons = list[tuple[str, str, str]]()
        with self.file.transaction():
            running = dict(
                self.file.base.execute("SELECT caller, COUNT(*) FROM runs WHERE state = 'running' GROUP BY caller")
            )
            waiting = self.file.base.execute(
                "SELECT id, runs.caller, EXISTS (SELECT 1 FROM runs AS other WHERE other.state = 'running' "
                "AND other.fingerprint = runs.fingerprint AND (other.lease != '' OR ? != '')) "
                "FROM runs LEFT JOIN shares ON shares.caller = runs.caller "
                "WHERE state = 'queued' AND NOT EXISTS "
                "(SELECT 1 FROM declined WHERE run = runs.id AND declined.worker = ?) "
                "AND (NOT ? OR EXISTS (SELECT 1 FROM runs AS done "
                "WHERE done.fingerprint = runs.fingerprint AND done.recipe != '')) "
                "ORDER BY priority DESC, COALESCE(had, 0), number",
                (worker, worker, known),
            )
            next: tuple[str, str] | None = None
            for id, caller, twin in waiting:
                if running.get(caller, 0) >= self.quota(caller).running or not offered(id, bool(twin)):
                    continue
                if not (reason := unfit(id)):
                    next = id, caller
                    break
                reasons.append((id, worker, reason))
            waiting.close()
            self._decline(reasons)
            return self._begin(*next, worker) if next else None

    def begin(self, id: str) -> tuple[ServedRun, bytes] | None:
        """Begin a run out of turn; None where it waits no more."""
        with self.file.transaction():
            row = self.file.base.execute("SELECT caller FROM runs WHERE id = ? AND state = 'queued'", (id,)).fetchone()
            return self._begin(id, row[0]) if row else None

    def _begin(self, id: str, caller: str, worker: str = "") -> tuple[ServedRun, bytes]:
        lease = secrets.token_hex(16) if worker else ""
        self.file.base.execute(
            "UPDATE runs SET state = 'running', started = ?, attempt = attempt + 1, lease = ?, worker = ? WHERE id = ?",
            (time.time(), lease, worker, id),
        )
        self.clock.begin(id)
        self._charge(caller, 1.0)
        return self._one("id = ?", id), self.document(id)

    def _charge(self, caller: str, seconds: float) -> None:
        self.file.base.execute(
            "INSERT INTO shares VALUES (?, ?) ON CONFLICT(caller) DO UPDATE SET had = had + excluded.had",
            (caller, seconds / self.quota(caller).share),
        )

    def _decline(self, reasons: Iterable[tuple[str, str, str]]) -> None:
        """Remember which runs are not to be offered to a worker again: id, worker and reason of each."""
        self.file.base.executemany("INSERT OR REPLACE INTO declined(run, worker, reason) VALUES (?, ?, ?)", reasons)
        self.file.base.execute(
            "DELETE FROM declined WHERE number <= (SELECT MAX(number) FROM declined) - ?", (MOST_DECLINED,)
        )

    def declined(self, id: str) -> Mapping[str, str]:
        """Why workers cannot run what waits, by the name of each; the latest ones."""
        with self.file.lock:
            statement = "SELECT worker, reason FROM declined WHERE run = ? ORDER BY number DESC LIMIT 20"
            return {shown_worker(worker): reason for worker, reason in self.file.base.execute(statement, (id,))}

    def end(self, run: ServedRun, outcome: RunEnd, publish: Callable[[], object] = lambda: None) -> ServedRun | None:
        """Write down how an attempt ended; None where the run is in another attempt, or over, by now.

        Args:
            publish: called where this is the present attempt, before it is written down.
        """
        now, seconds, result, error = time.time(), self.clock.seconds(run), outcome.result, outcome.error
        size = sum(one["bytes"] for one in outcome.files)
        with self.file.transaction():
            changed = self.file.base.execute(
                "UPDATE runs SET state = ?, started = ?, ended = ?, result = ?, error = ?, bytes = ?, recipe = ?, "
                f"replayed = ? WHERE {_PRESENT}",
                (
                    *(outcome.state, now - seconds, now, None if result is None else plain_text(result)),
                    *(None if error is None else plain_text(error), size, outcome.recipe),
                    *(plain_text([*outcome.replayed]) if outcome.recipe else None, *_present(run)),
                ),
            )
            if not changed.rowcount:
                return None
            publish()
            self.file.base.execute("DELETE FROM declined WHERE run = ?", (run.id,))
            self._charge(run.caller, seconds)
            self.clock.forget(run.id)
            return self._one("id = ?", run.id)

    def give_back(self, run: ServedRun, reason: str = "") -> ServedRun | None:
        """Let a run wait again that was begun and is not to end here; this attempt does not count. None where it is in
        another attempt, or over, by now.

        Args:
            reason: why its worker cannot run it, so that it is not offered to it again.
        """
        with self.file.transaction():
            changed = self.file.base.execute(f"UPDATE runs SET attempt = attempt - 1 WHERE {_PRESENT}", _present(run))
            if not changed.rowcount:
                return None
            if reason:
                self._decline([(run.id, run.worker, reason)])
            self._give_up("id = ?", {}, run.id)
            return self._one("id = ?", run.id)

    def give_up(self, run: ServedRun) -> ServedRun | None:
        """Let a run wait again whose worker is silent, unless that was so too often; None where it is over by now, or
        in another attempt."""
        with self.file.transaction():
            if not self.file.base.execute(f"SELECT 1 FROM runs WHERE {_PRESENT}", _present(run)).fetchone():
                return None
            self._give_up("id = ?", _ended_while("worker"), run.id)
            return self._one("id = ?", run.id)

    @contextmanager
    def holding(self, run: ServedRun) -> Iterator[None]:
        """While the block runs, a run stays under its lease.

        Raises:
            LeaseLost: where it is not.
        """
        with self.file.transaction():
            if not self.file.base.execute(f"SELECT 1 FROM runs WHERE {_PRESENT}", _present(run)).fetchone():
                raise LeaseLost
            yield

    def leased(self) -> list[ServedRun]:
        """What workers have."""
        with self.file.lock:
            statement = f"SELECT {COLUMNS} FROM runs WHERE state = 'running' AND lease != ''"
            return [run_of_row(row) for row in self.file.base.execute(statement)]

    def of_lease(self, lease: str) -> ServedRun | None:
        """The run that is, or ended, under a lease."""
        with self.file.lock:
            return self._maybe("lease = ? AND lease != ''", lease)

    def stop_asked(self, id: str) -> bool:
        """Whether somebody asked for the end of a run that goes on."""
        with self.file.lock:
            return bool(self.file.base.execute("SELECT 1 FROM runs WHERE id = ? AND stop", (id,)).fetchone())

    def give_back_all_but(self, ids: Collection[str]) -> None:
        """Let runs wait again that were begun and that nobody runs: how they ended could not be written down."""
        with self.file.transaction():
            begun = self.file.base.execute("SELECT id FROM runs WHERE state = 'running' AND lease = ''").fetchall()
            left = [(id,) for (id,) in begun if id not in ids and self.clock.has_begun(id, BEGINNING)]
            self.file.base.executemany("UPDATE runs SET state = 'queued', started = 0 WHERE id = ?", left)

    def cancel(self, id: str) -> ServedRun | None:
        """Cancel a run that waits; one that runs is marked, and whoever runs it must be asked. None if unknown."""
        with self.file.transaction():
            self.file.base.execute(
                "UPDATE runs SET state = 'cancelled', ended = ? WHERE id = ? AND state = 'queued'", (time.time(), id)
            )
            self.file.base.execute("UPDATE runs SET stop = 1 WHERE id = ? AND state = 'running'", (id,))
            return self._maybe("id = ?", id)

    def get(self, id: str) -> ServedRun | None:
        """A run by its id."""
        with self.file.lock:
            return self._maybe("id = ?", id)

    def document(self, id: str) -> bytes:
        """The graph of a run, as a graph file has it."""
        with self.file.lock:
            return bytes(self.file.base.execute("SELECT document FROM runs WHERE id = ?", (id,)).fetchone()[0])

    def unfinished(self) -> list[str]:
        """The ids of runs that wait or run, the oldest first."""
        with self.file.lock:
            statement = "SELECT id FROM runs WHERE state IN ('queued', 'running') ORDER BY number"
            return [id for (id,) in self.file.base.execute(statement)]

    def waiting_like(self, id: str) -> list[str]:
        """The ids of runs that wait for what another one asked for too."""
        with self.file.lock:
            asked = "(SELECT fingerprint FROM runs WHERE id = ?)"
            statement = f"SELECT id FROM runs WHERE state = 'queued' AND fingerprint = {asked}"
            return [found for (found,) in self.file.base.execute(statement, (id,))]

    def with_recipe(self, id: str, recipes: Collection[str]) -> ServedRun | None:
        """The latest run that a request equal to that of a run has asked for, and whose recipe is one of these, or any
        where none are given."""
        chosen = f"AND recipe IN ({', '.join('?' * len(recipes))})" if recipes else ""
        with self.file.lock:
            return self._maybe(
                "fingerprint = (SELECT fingerprint FROM runs WHERE id = ?) AND recipe != '' "
                f"{chosen} ORDER BY number DESC LIMIT 1",
                *(id, *recipes),
            )

    def replayed(self, id: str) -> list[Mapping[str, Any]]:
        """The events of a run that later ones are given."""
        with self.file.lock:
            row = self.file.base.execute("SELECT replayed FROM runs WHERE id = ?", (id,)).fetchone()
        return read_json(row[0]) if row and row[0] else []

    def forget_recipe(self, id: str) -> None:
        """Answer nothing from a run any more."""
        with self.file.transaction():
            self.file.base.execute("UPDATE runs SET recipe = '', replayed = NULL WHERE id = ?", (id,))

    def ahead(self, run: ServedRun) -> int:
        """How many runs that wait are older, or of greater priority: about how many go first."""
        with self.file.lock:
            statement = (
                "SELECT COUNT(*) FROM runs WHERE state = 'queued' AND id != ? AND (priority > ? OR "
                "(priority = ? AND number < (SELECT number FROM runs WHERE id = ?)))"
            )
            row = self.file.base.execute(statement, (run.id, run.priority, run.priority, run.id)).fetchone()
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
        with self.file.lock:
            statement = f"SELECT {COLUMNS} FROM runs WHERE {' AND '.join(tests)} ORDER BY number DESC LIMIT ?"
            return [run_of_row(row) for row in self.file.base.execute(statement, (*values, limit))]

    def counts(self) -> Mapping[str, int]:
        """How many runs are in each state."""
        with self.file.lock:
            return dict(self.file.base.execute("SELECT state, COUNT(*) FROM runs GROUP BY state"))

    def counts_by_caller(self) -> Mapping[str, Mapping[str, int]]:
        """How many runs of each caller wait and run."""
        found: dict[str, dict[str, int]] = {}
        statement = (
            "SELECT caller, state, COUNT(*) FROM runs WHERE state IN ('queued', 'running') GROUP BY caller, state"
        )
        with self.file.lock:
            for caller, state, count in self.file.base.execute(statement):
                found.setdefault(caller, {})[state] = count
        return found

    def forget(self, most_bytes: int, most_runs: int) -> list[str]:
        """Drop the oldest runs that have ended, where their files or their number are beyond a limit; their ids."""
        with self.file.transaction():
            total, count = self.file.base.execute("SELECT TOTAL(bytes), COUNT(*) FROM runs").fetchone()
            dropped = []
            ended = "SELECT id, bytes FROM runs WHERE state IN ('done', 'failed', 'cancelled') ORDER BY number"
            for id, size in self.file.base.execute(ended):
                if total <= most_bytes and count <= most_runs:
                    break
                total, count = total - size, count - 1
                dropped.append(id)
            self.file.base.executemany("DELETE FROM runs WHERE id = ?", [(id,) for id in dropped])
        return dropped

    def _one(self, test: str, *values: object) -> ServedRun:
        found = self._maybe(test, *values)
        assert found is not None
        return found

    def _maybe(self, test: str, *values: object) -> ServedRun | None:
        row = self.file.base.execute(f"SELECT {COLUMNS} FROM runs WHERE {test}", values).fetchone()
        return run_of_row(row) if row else None


_WAITING = "state = 'queued', started = 0, lease = '', worker = ''"
"""What is set of a run that is to wait again."""

_PRESENT = "id = ? AND state = 'running' AND attempt = ? AND lease = ?"
"""Whether an attempt is the present one of its run."""


def _present(run: ServedRun) -> tuple[str, int, str]:
    return run.id, run.attempt, run.lease


def _ended_while(who: str) -> Mapping[str, Any]:
    return {"message": f"the {who} ended while it ran, {ATTEMPTS} times", "code": f"{who}-ended"}
