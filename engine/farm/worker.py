"""A worker: leases items of a ledger, runs each as `weft run` runs a graph, publishes what it came to."""

from __future__ import annotations

import os
import shutil
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import orjson

from weft.engine import document, events
from weft.engine.deliver import versions
from weft.engine.errors import InputError, StoreError, WeftError
from weft.engine.farm.ledger import HEARTBEAT, Entry, Ledger
from weft.engine.farm.publish import HIDDEN, stage
from weft.engine.farm.submit import Setup, ledger_path
from weft.engine.graph import Graph
from weft.engine.plan import Plan

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
    """

    folder: Path
    device: str | None = None
    stopped: Callable[[], bool] = lambda: False
    name: str = field(default_factory=lambda: f"{os.getpid()}-{uuid.uuid4().hex[:6]}")

    def __post_init__(self) -> None:
        self.ledger = Ledger(ledger_path(self.folder))
        setup = Setup(**self.ledger.fact("setup"))
        self.engine = setup.engine(**({"device": self.device} if self.device else {}))
        path = self.ledger.fact("path")
        self.graph = document.read(self.ledger.fact("graph"), Path(path) if path else None)
        self.shared = ""
        self.seconds: float | None = None

    def work(self) -> int:
        """Lease and run until nothing waits and nobody works; how many items this worker completed."""
        self.ledger.enter(self.name)
        over = threading.Event()
        beat = threading.Thread(target=self._beat, args=(over,), daemon=True)
        beat.start()
        done = 0
        try:
            while not self.stopped() and self.ledger.fact("state") == "running":
                self.ledger.bury()
                self.ledger.enter(self.name)
                counts = self.ledger.counts()
                size = chunk_size(self.seconds, counts["waiting"], len(self.ledger.workers()))
                chunk = self.ledger.lease(self.name, size, self.shared)
                if not chunk and not counts["waiting"] + counts["leased"]:
                    break
                done += self._chunk(chunk)
                if not chunk:
                    time.sleep(IDLE)
        finally:
            over.set()
            beat.join()
            self.ledger.leave(self.name)
            self.ledger.close()
            self.engine.close()
        return done

    def _beat(self, over: threading.Event) -> None:
        ledger = Ledger(self.ledger.path)
        while not over.wait(HEARTBEAT):
            ledger.renew(self.name)
        ledger.close()

    def _chunk(self, chunk: list[Entry]) -> int:
        done = 0
        for entry in chunk:
            if self.stopped() or self.ledger.fact("state") != "running":
                self.ledger.leave(self.name)
                break
            if self.ledger.begin(self.name, entry):
                started = time.monotonic()
                done += self._attempt(entry)
                taken = time.monotonic() - started
                self.seconds = taken if self.seconds is None else 0.8 * self.seconds + 0.2 * taken
                self.shared = entry.shared
        return done

    def _attempt(self, entry: Entry) -> bool:
        """Run one item; whether it was published by this attempt."""
        hidden = self.folder / HIDDEN
        staging = hidden / "attempts" / f"{entry.id[:16]}.{entry.attempt}.{self.name}"
        path = hidden / "logs" / f"{entry.id[:16]}.{entry.attempt}.log"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            staging.mkdir(parents=True, exist_ok=True)
            with path.open("ab", buffering=0) as log:
                return self._run(entry, staging, _Log(log))
        except (StoreError, OSError) as fault:
            self.ledger.note(state="stopped", cause=str(fault))
            return False
        except WeftError as fault:
            self.ledger.fail(self.name, entry, str(fault))
            return False
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def _run(self, entry: Entry, staging: Path, log: _Log) -> bool:
        log.write(event="attempt", item=entry.id, attempt=entry.attempt, worker=self.name, settings=entry.settings)
        graph = self.graph.replace(entry.settings)
        started = time.perf_counter()
        self.engine.output = staging
        plan = self.engine.plan(graph)
        result = self.engine.execute(plan, listener=log, cancelled=self.stopped)
        if result.status == "cancelled":
            return False
        if result.failures:
            raise InputError("\n".join(map(str, result.failures)))
        seconds = time.perf_counter() - started
        sidecar = self._sidecar(entry, graph, plan, seconds)
        staged = stage(self.folder, entry.name, result.paths, {**sidecar, "ran": result.ran})
        published = self.ledger.complete(self.name, entry, seconds, staged.publish)
        log.write(event="published" if published else "refused", item=entry.id, attempt=entry.attempt)
        return published

    def _sidecar(self, entry: Entry, graph: Graph, plan: Plan, seconds: float) -> dict[str, Any]:
        """All that is known of an item."""
        return {
            "id": entry.id,
            "number": entry.number,
            "name": entry.name,
            "settings": entry.settings,
            "keys": {step.call.id: step.recipe for step in plan.steps},
            "contents": {name: found.digest for step in plan.steps for name, found in step.found.items()},
            "versions": versions(),
            "device": self.device or self.engine.device,
            "precision": plan.settings,
            "seconds": round(seconds, 4),
            "worker": self.name,
            "attempt": entry.attempt,
            "graph": document.plain(graph),
        }


@dataclass(frozen=True)
class _Log:
    """Writes what happens in an attempt as JSON lines, each at once, so that a crash leaves what went before."""

    file: IO[bytes]

    def __call__(self, event: events.Event) -> None:
        if not isinstance(event, events.NodeProgress):
            self.write(**event.plain())

    def write(self, **record: Any) -> None:
        """A line."""
        line = {"at": round(time.time(), 3), **record}
        self.file.write(orjson.dumps(line, default=str, option=orjson.OPT_APPEND_NEWLINE))
