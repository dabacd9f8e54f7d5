"""The driver of a job on Ray: leases items for actors, publishes their pictures, and ends the leases of the dead.

One process holds the ledger, since SQLite is shared by the processes of one machine only. An actor that died is asked
whether it is ready until Ray has started it again; meanwhile it has no lease, so that nothing waits for it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from weft.engine.errors import InputError, StoreError
from weft.engine.farm.launchers.local import TICK, goes_on
from weft.engine.farm.launchers.ray_actor import Order, Ready, hired, joined
from weft.engine.farm.work.attempt import AttemptOutcome, clear
from weft.engine.farm.work.committing import commit
from weft.engine.farm.work.ledger import HEARTBEAT, Entry, Ledger
from weft.engine.farm.work.ledger_file import ledger_path
from weft.engine.farm.work.worker import chunk_size

PATIENCE = 30.0
"""Seconds without a ready worker, after which that is reported, and reported again."""

FRUITLESS = 10
"""Deaths in a row before an actor is ready, after which it is given up."""


@dataclass
class Pool:
    """Runs a job with workers of Ray until it is over.

    Args:
        address: `auto`, `local` or HOST:PORT.
        needs: what each worker takes of its machine: CPU, GPU, parts of one, resources of the cluster's own.
        each: called now and then, to show how the job goes.
        tell: called where there is no place for any worker, which may change.
    """

    folder: Path
    address: str
    workers: int = 1
    needs: Mapping[str, float] = field(default_factory=dict)
    each: Callable[[Ledger], None] = lambda ledger: None
    stopped: Callable[[], bool] = lambda: False
    tell: Callable[[str], None] = lambda message: None

    def run(self) -> None:
        """Hire workers and give them items until nothing waits.

        Raises:
            InputError: where there is no cluster, or none of its workers can work.
        """
        ledger = Ledger(ledger_path(self.folder))
        ledger.reap()
        try:
            if goes_on(ledger, self.stopped):
                with joined(self.address, self.workers, self.needs) as ray:
                    self._drive(ray, ledger)
        except StoreError as fault:
            ledger.stop(str(fault))
        finally:
            clear(self.folder)
            self.each(ledger)
            ledger.close()

    def _drive(self, ray: Any, ledger: Ledger) -> None:
        order = Order.of(self.folder, ledger.facts())
        slots = [WorkerSlot(hired(ray, order, self.needs)) for _ in range(self.workers)]
        pool = WorkerPool(ray, ledger, slots, ledger.facts().batch)
        show, renew, missing = Every(TICK), Every(HEARTBEAT), Every(PATIENCE)
        try:
            while (more := goes_on(ledger, self.stopped)) or (pool.busy and not self.stopped()):
                if more:
                    pool.hand_out()
                if show.again():
                    self.each(ledger)
                pool.collect(TICK)
                if renew.again():
                    pool.renew()
                if pool.ready:
                    missing.restart()
                elif missing.again():
                    self.tell(self._no_place(ray))
        finally:
            pool.dismiss()

    def _no_place(self, ray: Any) -> str:
        needs = ", ".join(f"{name} {amount:g}" for name, amount in {"CPU": 1, **self.needs}.items())
        free = ", ".join(f"{name} {amount:g}" for name, amount in ray.available_resources().items() if name in needs)
        return f"no worker is ready: each needs {needs}; free in the cluster: {free or 'none of it'}; waiting"


@dataclass
class Every:
    """A clock for something that is done once in so many seconds."""

    seconds: float
    last: float = field(default_factory=time.monotonic)

    def again(self) -> bool:
        """Whether it is due; if so, the clock starts again."""
        due = time.monotonic() - self.last > self.seconds
        if due:
            self.restart()
        return due

    def restart(self) -> None:
        """Start the clock again."""
        self.last = time.monotonic()


@dataclass
class WorkerSlot:
    """A worker as the driver sees it.

    Args:
        call: what it was asked and has not answered.
        name: that of its process; empty until it is ready.
        shared: the group of the item that it ran last.
        chunk: what is leased for it and waits.
        running: what it executes.
    """

    actor: Any
    call: Any = None
    name: str = ""
    shared: str = ""
    chunk: deque[Entry] = field(default_factory=deque)
    running: Entry | None = None
    started: float = 0.0
    seconds: float | None = None
    deaths: int = 0


@dataclass
class WorkerPool:
    """The slots of a job.

    Args:
        batch: how many items are sampled at once, so that one worker takes them together.
    """

    ray: Any
    ledger: Ledger
    slots: list[WorkerSlot]
    batch: int

    @property
    def busy(self) -> bool:
        """Whether an item is being executed."""
        return any(slot.running for slot in self.slots)

    @property
    def ready(self) -> bool:
        """Whether there is a worker that can take items."""
        return any(slot.name for slot in self.slots)

    def hand_out(self) -> None:
        """Ask those that wait for the next thing."""
        for slot in self.slots:
            if slot.call is None:
                slot.call = self._next(slot) if slot.name else slot.actor.ready.remote()

    def _next(self, slot: WorkerSlot) -> Any:
        """Send an item, if there is one."""
        if not slot.chunk:
            size = chunk_size(slot.seconds, self.ledger.counts()["waiting"], len(self.slots))
            slot.chunk.extend(self.ledger.lease(slot.name, max(size, self.batch), slot.shared))
        while slot.chunk:
            entry = slot.chunk.popleft()
            if self.ledger.begin(slot.name, entry) is not None:
                slot.running, slot.started = entry, time.monotonic()
                return slot.actor.run.remote(entry)
        return None

    def collect(self, seconds: float) -> None:
        """Take the first answer that comes within so many seconds."""
        calls = {slot.call: slot for slot in self.slots if slot.call is not None}
        if not calls:
            time.sleep(seconds)
            return
        for call in self.ray.wait([*calls], timeout=seconds)[0]:
            self._take(calls[call], call)

    def _take(self, slot: WorkerSlot, call: Any) -> None:
        entry, slot.call, slot.running = slot.running, None, None
        try:
            answer: AttemptOutcome | Ready = self.ray.get(call)
        except self.ray.exceptions.RayError as fault:
            self._died(slot, str(fault))
            return
        if isinstance(answer, Ready):
            self._enter(slot, answer)
        elif entry:
            commit(self.ledger, slot.name, entry, answer)
            taken = time.monotonic() - slot.started
            slot.seconds = taken if slot.seconds is None else 0.8 * slot.seconds + 0.2 * taken
            slot.shared = entry.shared

    def _enter(self, slot: WorkerSlot, answer: Ready) -> None:
        if answer.fault:
            self._give_up(slot, answer.fault, "have all machines see the same folders; `--out` on a share")
            return
        slot.name, slot.deaths = answer.name, 0
        self.ledger.enter(slot.name)

    def _died(self, slot: WorkerSlot, why: str) -> None:
        if slot.name:
            self.ledger.died(slot.name)
        slot.name, slot.shared, slot.deaths = "", "", slot.deaths + 1
        slot.chunk.clear()
        if slot.deaths > FRUITLESS:
            self._give_up(slot, f"a worker of Ray ends before it does anything: {why}", "read the logs of Ray")

    def _give_up(self, slot: WorkerSlot, message: str, hint: str) -> None:
        """Do without a worker that cannot work."""
        self.ray.kill(slot.actor)
        self.slots.remove(slot)
        if not self.slots:
            raise InputError(message, hint)

    def renew(self) -> None:
        """Hold on to what is leased, for as long as it takes, and end what other launchers left."""
        for slot in self.slots:
            if slot.name:
                self.ledger.renew(slot.name)
        self.ledger.reap()

    def dismiss(self) -> None:
        """End the actors; what they did not do waits again."""
        for slot in self.slots:
            self.ray.kill(slot.actor)
            if slot.name:
                self.ledger.leave(slot.name)
