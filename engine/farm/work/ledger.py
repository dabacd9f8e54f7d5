"""The ledger of a job: who works at what, in SQLite (WAL), shared by any number of processes of a machine.

An item is waiting, leased, done, cached, failed, skipped or cancelled. A lease ends when it is completed, given back,
when its time is over, or when its process is gone. Completion is fenced: only the worker and attempt that hold the
lease complete an item, and publishing happens inside that transaction. The ledger may be lost: what is published says
what is done.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from weft.engine.farm.work.job_facts import JobFacts
from weft.engine.farm.work.ledger_file import LedgerFile
from weft.engine.farm.work.publishing import dissolve
from weft.engine.process import machine, process_start
from weft.engine.unicode_text import read_json

LEASE = 30.0
"""Seconds for which a lease holds unless it is renewed."""

HEARTBEAT = 5.0
"""Seconds after which a worker renews its leases."""

FAULTS = 3
"""Items that a worker fails at, with none done between, after which it is quarantined."""


@dataclass(frozen=True)
class Entry:
    """An item as the ledger has it.

    Args:
        shared: the group of items that it shares most with.
        settings: the values that it sets, by target.
        attempt: how often it was leased.
        charge: what it has been blamed for: a failure counts 1, the death of the process that ran it one half.
    """

    id: str
    number: int
    rank: int
    shared: str
    name: str
    settings: Mapping[str, Any]
    state: str = "waiting"
    worker: str = ""
    attempt: int = 0
    until: float = 0.0
    charge: float = 0.0
    error: str = ""
    seconds: float = 0.0
    ended: float = 0.0


_NAMES = tuple(Entry.__dataclass_fields__)
_COLUMNS = ", ".join(_NAMES)

_BEGUN = """
SELECT state, worker, attempt, (SELECT value FROM facts WHERE name = 'state'),
       (SELECT value FROM facts WHERE name = 'submitted')
FROM items WHERE id = ?
"""
"""Who holds an item, whether its job runs, and when the job was submitted: one look, since it is one for each item."""


class Ledger(LedgerFile):
    """The items and workers of a job in a file; each process opens its own."""

    def submit(self, facts: JobFacts, entries: Iterable[Entry]) -> None:
        """Keep a job, which runs from now on; of one that was submitted before, items keep their history."""
        with self._transaction():
            self._keep(facts.plain())
            self._keep({"state": "running", "submitted": time.time(), "unkept": ""})
            self._add(entries)

    def _add(self, entries: Iterable[Entry]) -> None:
        """Add items; one that is there keeps its history and takes its new place, and one that left is dropped."""
        rows = [
            (one.id, one.number, one.rank, one.shared, one.name, orjson.dumps(one.settings).decode(), one.state)
            for one in entries
        ]
        self._base.execute("CREATE TEMP TABLE IF NOT EXISTS wanted(id TEXT PRIMARY KEY)")
        self._base.execute("DELETE FROM wanted")
        self._base.executemany("INSERT INTO wanted VALUES (?)", [(row[0],) for row in rows])
        self._base.execute("DELETE FROM items WHERE id NOT IN (SELECT id FROM wanted)")
        self._base.executemany(
            "INSERT INTO items(id, number, rank, shared, name, settings, state) VALUES (?,?,?,?,?,?,?) "
            "ON CONFLICT(id) DO UPDATE SET number=excluded.number, rank=excluded.rank, shared=excluded.shared, "
            "name=excluded.name, settings=excluded.settings, "
            "state=CASE WHEN excluded.state='cached' OR items.state IN ('done', 'cached') "
            "THEN excluded.state ELSE items.state END",
            rows,
        )

    def entries(self, *states: str) -> list[Entry]:
        """The items in these states, or all, in the order of the job."""
        where = f"WHERE state IN ({','.join('?' * len(states))})" if states else ""
        return self._read(f"{where} ORDER BY number", states)

    def _read(self, where: str, values: Iterable[Any] = ()) -> list[Entry]:
        rows = self._base.execute(f"SELECT {_COLUMNS} FROM items {where}", tuple(values))
        return [Entry(**{**dict(zip(_NAMES, row, strict=True)), "settings": orjson.loads(row[5])}) for row in rows]

    def counts(self) -> Counter[str]:
        """How many items are in each state."""
        return Counter(dict(self._base.execute("SELECT state, count(*) FROM items GROUP BY state").fetchall()))

    def attempts(self) -> int:
        """How often items were leased in all."""
        return int(self._base.execute("SELECT coalesce(sum(attempt), 0) FROM items").fetchone()[0])

    def ended_since(self, moment: float) -> int:
        """How many items were done since a moment, in seconds since 1970."""
        row = self._base.execute("SELECT count(*) FROM items WHERE state='done' AND ended>?", (moment,)).fetchone()
        return int(row[0])

    def enter(self, worker: str) -> None:
        """Make a worker known: this process."""
        pid = os.getpid()
        row = (worker, machine(), pid, process_start(pid), time.time())
        with self._transaction():
            self._base.execute(
                "INSERT OR REPLACE INTO workers(name, machine, pid, started, seen) VALUES (?,?,?,?,?)", row
            )

    def leave(self, worker: str) -> None:
        """Forget a worker; what it leased and did not do waits again, charged with nothing."""
        with self._transaction():
            self._give_back(worker)

    def _free(self, worker: str) -> None:
        self._base.execute("UPDATE items SET state='waiting' WHERE state='leased' AND worker=?", (worker,))

    def _give_back(self, worker: str) -> None:
        self._free(worker)
        self._base.execute("DELETE FROM workers WHERE name=?", (worker,))

    def lease(self, worker: str, most: int, shared: str = "") -> list[Entry]:
        """Lease items that share most: of the group that the worker holds, then whole groups in the order of work.

        An item is given to another worker than the one that failed at it, where the next one to ask is another.
        """
        now = time.time()
        with self._transaction():
            if self.state != "running" or worker in self.quarantined():
                return []
            order = "ORDER BY (charge > 0 AND worker = ?), (shared != ?), rank"
            trial = self._trial()
            where = f"WHERE state='waiting' AND (number < ? OR ? = 0) {order} LIMIT ?"
            found = _whole_groups(self._read(where, (trial, trial, worker, shared, most + 1)), most)
            self._base.executemany(
                "UPDATE items SET state='leased', worker=?, attempt=attempt+1, until=? WHERE id=?",
                [(worker, now + LEASE, one.id) for one in found],
            )
        return self._read(f"WHERE id IN ({','.join('?' * len(found))}) ORDER BY rank", [one.id for one in found])

    def _trial(self) -> int:
        """How many items go before the others, as long as some of them are not over; 0 where all may be leased."""
        first = self._rule("first")
        left = "SELECT 1 FROM items WHERE number < ? AND state IN ('waiting', 'leased')"
        return first if self._base.execute(left, (first,)).fetchone() else 0

    def renew(self, worker: str) -> None:
        """Hold on to everything that a worker leased."""
        now = time.time()
        with self._transaction():
            self._base.execute("UPDATE items SET until=? WHERE state='leased' AND worker=?", (now + LEASE, worker))
            self._base.execute("UPDATE workers SET seen=? WHERE name=?", (now, worker))

    def begin(self, worker: str, entry: Entry) -> float | None:
        """Say what a worker executes, so that its death is charged to this item.

        Returns:
            When the job was submitted, in seconds since 1970; None where the lease is lost, or the job does not run.
        """
        with self._transaction():
            row = self._base.execute(_BEGUN, (entry.id,)).fetchone()
            if row is None or row[:3] != ("leased", worker, entry.attempt):
                return None
            state, submitted = (read_json(value) if value else None for value in row[3:])
            if (state or "running") != "running":
                return None
            self._base.execute("UPDATE workers SET item=? WHERE name=?", (entry.id, worker))
        return float(submitted or 0.0)

    def _holds(self, worker: str, entry: Entry) -> bool:
        row = self._base.execute("SELECT state, worker, attempt FROM items WHERE id=?", (entry.id,)).fetchone()
        return bool(row == ("leased", worker, entry.attempt))

    def complete(self, worker: str, entry: Entry, seconds: float, publish: Callable[[], None]) -> bool:
        """Publish an item and have it done, both or neither; False where the lease is another's by now."""
        with self._transaction():
            # The fence: a worker that slept through its lease finds another's here and publishes nothing. `publish`
            # runs inside the transaction, so no lease can change between this check and the links.
            if not self._holds(worker, entry):
                return False
            publish()
            self._base.execute(
                "UPDATE items SET state='done', seconds=?, ended=?, error='' WHERE id=?",
                (seconds, time.time(), entry.id),
            )
            self._ended(worker, entry)
            self._base.execute("DELETE FROM faults WHERE worker=?", (worker,))
        return True

    def _ended(self, worker: str, entry: Entry) -> None:
        """Say that a worker executes an item no more; it may have begun another."""
        self._base.execute("UPDATE workers SET item='' WHERE name=? AND item=?", (worker, entry.id))

    def fail(self, worker: str, entry: Entry, error: str, for_good: bool = False) -> None:
        """Charge a failure to an item that a worker holds; one that is quarantined for it gives the others back.

        Args:
            for_good: whether it is of no use to try again, so that all retries are charged.
        """
        with self._transaction():
            if self._holds(worker, entry):
                self._charge(entry.id, 1.0 + (self._rule("retries") if for_good else 0), error)
                self._suspect(worker, entry.id)
            self._ended(worker, entry)
            if worker in self.quarantined():
                self._free(worker)

    def _suspect(self, worker: str, item: str) -> None:
        """Hold a failure against a worker, unless another failed at the same item: then against neither."""
        others = self._base.execute("SELECT 1 FROM faults WHERE item=? AND worker!=?", (item, worker)).fetchone()
        if others:
            self._base.execute("DELETE FROM faults WHERE item=?", (item,))
        else:
            self._base.execute("INSERT OR IGNORE INTO faults VALUES (?, ?)", (item, worker))

    def quarantined(self) -> list[str]:
        """The workers that get nothing: they failed at `FAULTS` items with none done between, and others did not.

        None where all that answer did, since then it is not the worker.
        """
        counted = "SELECT name, (SELECT count(*) FROM faults WHERE worker=name) FROM workers WHERE seen>?"
        faults = dict(self._base.execute(counted, (time.time() - LEASE,)).fetchall())
        found = sorted(name for name, count in faults.items() if count >= FAULTS)
        return found if len(found) < len(faults) else []

    def _charge(self, id: str, amount: float, error: str) -> None:
        """Blame an item; it waits for another attempt unless it has used them up."""
        retries = self._rule("retries")
        self._base.execute(
            "UPDATE items SET charge=charge+?, error=?, ended=?, "
            "state=CASE WHEN charge+? > ? THEN 'failed' ELSE 'waiting' END WHERE id=?",
            (amount, error, time.time(), amount, retries, id),
        )
        self._look_whether_enough(id)

    def _look_whether_enough(self, id: str) -> None:
        """Stop the job where an item was one of the first and has failed, or too many have."""
        number, state = self._base.execute("SELECT number, state FROM items WHERE id=?", (id,)).fetchone()
        if state != "failed":
            return
        first, most, failed = self._rule("first"), self._rule("max_failures"), self.counts()["failed"]
        cause = f"{failed} items failed, and `max_failures` is {most}" if most and failed >= most else ""
        cause = f"item {number} failed, one of the first {first}" if number < first else cause
        if cause:
            self._keep({"state": "stopped", "cause": cause})

    def reap(self) -> list[str]:
        """End the leases of workers of this machine that are gone, and those whose time is over; the workers' names.

        The item that a dead worker was executing is charged one half; the others of its lease with nothing. Where it
        was executed in a batch, another item of the batch may be at fault: the batch is dissolved and none is charged.
        """
        here, now = machine(), time.time()
        rows = self._base.execute("SELECT name, machine, pid, started, item FROM workers").fetchall()
        gone = [(row[0], row[4]) for row in rows if row[1] == here and process_start(row[2]) != row[3]]
        late = self._base.execute(
            "SELECT DISTINCT worker FROM items WHERE state='leased' AND until<?", (now,)
        ).fetchall()
        if not gone and not late:
            return []
        executing = {row[0]: row[4] for row in rows}
        gone += [(name, executing.get(name, "")) for (name,) in late if name not in dict(gone)]
        with self._transaction():
            for name, item in gone:
                self._died(name, item)
        return [name for name, _ in gone]

    def died(self, worker: str) -> None:
        """End the lease of a worker that somebody saw die, as `reap` does."""
        with self._transaction():
            row = self._base.execute("SELECT item FROM workers WHERE name=?", (worker,)).fetchone()
            self._died(worker, row[0] if row else "")

    def _died(self, name: str, item: str) -> None:
        held = self._read("WHERE id=? AND worker=? AND state='leased'", (item, name))
        if held and not dissolve(self.path.parent.parent, held[0].shared):
            self._charge(item, 0.5, f"worker {name} died, or did not answer, while it ran this")
        self._give_back(name)

    def change(self, old: Iterable[str], new: str, ids: Iterable[str] | None = None) -> int:
        """Move items from some states to another; how many there were.

        Args:
            ids: beginnings of the ids of those that are meant; None for all.
        """
        states = tuple(old)
        chosen = [one.id for one in self.entries(*states) if ids is None or one.id.startswith(tuple(ids))]
        with self._transaction():
            self._base.executemany(
                "UPDATE items SET state=?, charge=0, error='' WHERE id=?", [(new, id) for id in chosen]
            )
        return len(chosen)

    def workers(self) -> list[tuple[str, float, str]]:
        """The workers: name, when it was last seen, the id of what it executes."""
        return self._base.execute("SELECT name, seen, item FROM workers ORDER BY name").fetchall()


def _whole_groups(waiting: list[Entry], most: int) -> list[Entry]:
    """At most so many items, without those of a group that would be parted; a group by itself may be."""
    found = waiting[:most]
    parted = waiting[most].shared if len(waiting) > most else None
    return [one for one in found if one.shared != parted] or found
