"""The coordinator: starts worker processes, ends the leases of those that die, and starts others in their place."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from weft.engine.errors import InputError, StoreError
from weft.engine.farm.work.attempt import clear
from weft.engine.farm.work.item_clock import patience
from weft.engine.farm.work.ledger import Ledger
from weft.engine.farm.work.ledger_file import ledger_path
from weft.engine.farm.work.publishing import HIDDEN
from weft.engine.weights.machine_cores import usable_cores

COMMAND = "from weft.engine.cli import main; main()"
TICK = 0.1
LAST = 2.0
"""How many times the time after which a worker ends itself because of an item, until it is killed."""

FRUITLESS = 3
"""Workers that may die before they lease an item; after that many no more are started."""


def goes_on(ledger: Ledger, stopped: Callable[[], bool]) -> bool:
    """Whether a job has something left to do, and nobody asked to stop."""
    if stopped() or ledger.state != "running":
        return False
    counts = ledger.counts()
    return bool(counts["waiting"] + counts["leased"])


@dataclass
class Launcher:
    """Runs workers until a job is over.

    Args:
        devices: one worker is started for each.
        each: called now and then, to show how the job goes.
    """

    folder: Path
    devices: Sequence[str]
    each: Callable[[Ledger], None] = lambda ledger: None
    stopped: Callable[[], bool] = lambda: False
    _running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    _items: dict[int, tuple[str, float]] = field(default_factory=dict)
    """What each process executes, and since when, in seconds of the monotonic clock."""

    def run(self) -> None:
        """Start workers and look after them until nothing waits.

        Raises:
            InputError: where workers cannot start.
        """
        ledger = Ledger(ledger_path(self.folder))
        ledger.reap()
        limit = ledger.facts().item_timeout
        fruitless, leased = 0, -1
        try:
            while goes_on(ledger, self.stopped):
                for place in range(len(self.devices)):
                    fruitless, leased = self._look_after(place, ledger, fruitless, leased)
                if fruitless >= FRUITLESS:
                    raise InputError("workers end before they do anything", f"read {self._logs()}/worker-*.log")
                if limit is not None:
                    self._kill_stuck(ledger, LAST * patience(limit))
                self.each(ledger)
                time.sleep(TICK)
        except StoreError as fault:
            ledger.stop(str(fault))
        finally:
            self._end()
            clear(self.folder)
            ledger.reap()
            self.each(ledger)
            ledger.close()

    def _look_after(self, place: int, ledger: Ledger, fruitless: int, leased: int) -> tuple[int, int]:
        """Start the worker of a place where it does not run."""
        process = self._running.get(str(place))
        if process is not None and process.poll() is None:
            return fruitless, leased
        if process is not None:
            ledger.reap()
            so_far = ledger.attempts()
            fruitless, leased = (fruitless + 1 if so_far == leased else 0), so_far
        self._running[str(place)] = self._start(place)
        return fruitless, leased

    def _kill_stuck(self, ledger: Ledger, seconds: float) -> None:
        """Kill workers that execute one item for so long: they do not even end themselves, as stopped processes do."""
        now = time.monotonic()
        executing = {name.partition("-")[0]: item for name, _, item in ledger.workers()}
        for process in self._running.values():
            item = executing.get(str(process.pid), "")
            before, since = self._items.get(process.pid, ("", now))
            self._items[process.pid] = (item, since if item == before else now)
            if item and item == before and now - since > seconds:
                process.kill()

    def _start(self, place: int) -> subprocess.Popen[bytes]:
        self._logs().mkdir(parents=True, exist_ok=True)
        threads = str(max(1, len(usable_cores()) // len(self.devices)))
        environment = {"OMP_NUM_THREADS": threads, **os.environ}
        verb = ["farm", "work", str(self.folder), "--device", self.devices[place], "--parent", str(os.getpid())]
        with (self._logs() / f"worker-{place}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-c", COMMAND, *verb],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _logs(self) -> Path:
        return self.folder / HIDDEN / "logs"

    def _end(self) -> None:
        """Ask the workers to stop, and wait until they have."""
        for process in self._running.values():
            if process.poll() is None:
                process.terminate()
        for process in self._running.values():
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
