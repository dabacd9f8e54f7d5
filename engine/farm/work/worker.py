"""A worker: leases items of a ledger, runs each as `weft run` runs a graph, publishes its pictures."""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from weft.engine.errors import StoreError
from weft.engine.farm.work.attempt import ItemRunner
from weft.engine.farm.work.committing import Committer
from weft.engine.farm.work.ledger import HEARTBEAT, Entry, Ledger
from weft.engine.farm.work.ledger_file import ledger_path
from weft.engine.interrupts import interrupts_noted

TARGET = 30.0
"""Seconds of work that a lease is sized to."""

IDLE = 0.1
"""Seconds after which a worker without work asks again."""


def chunk_size(seconds: float | None, waiting: int, workers: int) -> int:
    """How many items to lease: `TARGET` seconds of them, and never more than a fair part of what remains.

    Args:
        seconds: that an item takes; None where nobody knows yet.
    """
    if seconds is None:
        return 1
    return max(1, min(int(TARGET / max(seconds, 1e-3)), waiting // (4 * max(workers, 1))))


@dataclass
class Worker:
    """Works at the job of a folder until there is nothing left to do.

    Args:
        device: instead of the job's.
        stopped: asked in every step; a worker that is asked to stop gives back what it holds.
        ends_process: whether the process is the worker's alone, so that it is ended where an item does not end in time.
    """

    folder: Path
    device: str | None = None
    stopped: Callable[[], bool] = lambda: False
    ends_process: bool = False
    name: str = field(default_factory=lambda: f"{os.getpid()}-{uuid.uuid4().hex[:6]}")

    def __post_init__(self) -> None:
        self.ledger = Ledger(ledger_path(self.folder))
        self._read_job()
        self.shared = ""
        self.seconds: float | None = None

    def _read_job(self) -> None:
        self.submitted = self.ledger.submitted
        facts = self.ledger.facts()
        self.runner = ItemRunner.of(
            self.folder, facts, self.name, self.device or "", self._end_process if self.ends_process else None
        )
        self.batch = facts.batch

    @interrupts_noted()
    def work(self) -> int:
        """Lease and run until nothing waits and nobody works; how many items this worker completed."""
        self.ledger.enter(self.name)
        over = threading.Event()
        beat = threading.Thread(target=self._beat, args=(over,), daemon=True)
        beat.start()
        committer = Committer(self.ledger.path, self.name)
        try:
            while not self.stopped() and self.ledger.state == "running":
                self.ledger.reap()
                self.ledger.enter(self.name)
                counts = self.ledger.counts()
                size = chunk_size(self.seconds, counts["waiting"], len(self.ledger.workers()))
                size = max(size, self.batch)
                chunk = self.ledger.lease(self.name, size, self.shared)
                if not chunk and not counts["waiting"] + counts["leased"]:
                    break
                self._chunk(chunk, committer)
                if not chunk:
                    time.sleep(IDLE)
        except StoreError as fault:
            self.ledger.stop(str(fault))
        except Exception:
            self.ledger.died(self.name)  # the item that ran is charged: another worker might end in the same way
            raise
        finally:
            committer.close()
            self.runner.close()
            over.set()
            beat.join()
            self.ledger.leave(self.name)
            self.ledger.close()
        return committer.done

    def _end_process(self, entry: Entry, reason: str) -> None:
        """Charge an item that does not end in time, and end this process: nothing else ends the node that runs."""
        try:
            Ledger(self.ledger.path).fail(self.name, entry, reason)
        finally:
            os._exit(1)

    def _beat(self, over: threading.Event) -> None:
        ledger = Ledger(self.ledger.path)
        while not over.wait(HEARTBEAT):
            with suppress(StoreError):
                ledger.renew(self.name)
        ledger.close()

    def _chunk(self, chunk: list[Entry], committer: Committer) -> None:
        """Run leased items; each is committed while the next one runs."""
        for entry in chunk:
            if not self.stopped() and (submitted := self.ledger.begin(self.name, entry)) is not None:
                if submitted != self.submitted:  # again, perhaps with another graph
                    committer.wait()
                    self.runner.close()
                    self._read_job()
                started = time.monotonic()
                committer.take(entry, self.runner.attempt(entry, self.stopped))
                taken = time.monotonic() - started
                self.seconds = taken if self.seconds is None else 0.8 * self.seconds + 0.2 * taken
                self.shared = entry.shared
            elif self.stopped() or self.ledger.state != "running":
                committer.wait()
                self.ledger.leave(self.name)
                break
        committer.wait()
