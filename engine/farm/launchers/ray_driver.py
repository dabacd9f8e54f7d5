"""The driver of a job on Ray: leases items for actors, publishes what they come to, and ends the leases of the dead.

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
from weft.engine.farm.submit import ledger_path
from weft.engine.farm.work.attempt import Outcome, clear
from weft.engine.farm.work.committing import settle
from weft.engine.farm.work.ledger import HEARTBEAT, Entry, Ledger
from weft.engine.farm.work.worker import chunk_size

PATIENCE = 30.0
"""Seconds without a ready worker, after which that is said, and said again."""

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
    tell: Callable[[str], None] = lambda told: None

    def run(self) -> None:
        """Hire workers and give them items until nothing waits.

        Raises:
            InputError: where there is no cluster, or none of its workers can work.
        """
        ledger = Ledger(ledger_path(self.folder))
        ledger.bury()
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
        order = Order.of(self.folder, ledger)
        seats = [Seat(hired(ray, order, self.needs)) for _ in range(self.workers)]
        crew = Crew(ray, ledger, seats, ledger.fact("batch", 1))
        show, renew, missing = Every(TICK), Every(HEARTBEAT), Every(PATIENCE)
        try:
            while (more := goes_on(ledger, self.stopped)) or (crew.busy and not self.stopped()):
                if more:
                    crew.hand_out()
                if show.again():
                    self.each(ledger)
                crew.collect(TICK)
                if renew.again():
                    crew.renew()
                if crew.ready:
                    missing.restart()
                elif missing.again():
                    self.tell(self._no_place(ray))
        finally:
            crew.dismiss()

    def _no_place(self, ray: Any) -> str:
        needs = ", ".join(f"{name} {amount:g}" for name, amount in {"CPU": 1, **self.needs}.items())
        free = ", ".join(f"{name} {amount:g}" for name, amount in ray.available_resources().items() if name in needs)
        return f"no worker is ready: each needs {needs}; free in the cluster: {free or 'none of it'}; waiting"


@dataclass
class Every:
    """Something that is done now and then."""

    seconds: float
    last: float = field(default_factory=time.monotonic)

    def again(self) -> bool:
        """Whether it is time; if so, the time runs anew."""
        due = time.monotonic() - self.last > self.seconds
        if due:
            self.restart()
        return due

    def restart(self) -> None:
        """Have the time run anew."""
        self.last = time.monotonic()


@dataclass
class Seat:
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
class Crew:
    """The seats of a job.

    Args:
        batch: how many items are sampled at once, so that one worker takes them together.
    """

    ray: Any
    ledger: Ledger
    seats: list[Seat]
    batch: int

    @property
    def busy(self) -> bool:
        """Whether an item is being executed."""
        return any(seat.running for seat in self.seats)

    @property
    def ready(self) -> bool:
        """Whether there is a worker that can take items."""
        return any(seat.name for seat in self.seats)

    def hand_out(self) -> None:
        """Ask those that wait for the next thing."""
        for seat in self.seats:
            if seat.call is None:
                seat.call = self._next(seat) if seat.name else seat.actor.ready.remote()

    def _next(self, seat: Seat) -> Any:
        """Send an item, if there is one."""
        if not seat.chunk:
            size = chunk_size(seat.seconds, self.ledger.counts()["waiting"], len(self.seats))
            seat.chunk.extend(self.ledger.lease(seat.name, max(size, self.batch), seat.shared))
        while seat.chunk:
            entry = seat.chunk.popleft()
            if self.ledger.begin(seat.name, entry):
                seat.running, seat.started = entry, time.monotonic()
                return seat.actor.run.remote(entry)
        return None

    def collect(self, seconds: float) -> None:
        """Take the first answer that comes within so many seconds."""
        calls = {seat.call: seat for seat in self.seats if seat.call is not None}
        if not calls:
            time.sleep(seconds)
            return
        for call in self.ray.wait([*calls], timeout=seconds)[0]:
            self._take(calls[call], call)

    def _take(self, seat: Seat, call: Any) -> None:
        entry, seat.call, seat.running = seat.running, None, None
        try:
            answer: Outcome | Ready = self.ray.get(call)
        except self.ray.exceptions.RayError as fault:
            self._died(seat, str(fault))
            return
        if isinstance(answer, Ready):
            self._enter(seat, answer)
        elif entry:
            settle(self.ledger, seat.name, entry, answer)
            taken = time.monotonic() - seat.started
            seat.seconds = taken if seat.seconds is None else 0.8 * seat.seconds + 0.2 * taken
            seat.shared = entry.shared

    def _enter(self, seat: Seat, answer: Ready) -> None:
        if answer.fault:
            self._give_up(seat, answer.fault, "have all machines see the same folders; `--out` on a share")
            return
        seat.name, seat.deaths = answer.name, 0
        self.ledger.enter(seat.name)

    def _died(self, seat: Seat, why: str) -> None:
        if seat.name:
            self.ledger.died(seat.name)
        seat.name, seat.shared, seat.deaths = "", "", seat.deaths + 1
        seat.chunk.clear()
        if seat.deaths > FRUITLESS:
            self._give_up(seat, f"a worker of Ray ends before it does anything: {why}", "read the logs of Ray")

    def _give_up(self, seat: Seat, message: str, hint: str) -> None:
        """Do without a worker that cannot work."""
        self.ray.kill(seat.actor)
        self.seats.remove(seat)
        if not self.seats:
            raise InputError(message, hint)

    def renew(self) -> None:
        """Hold on to what is leased, for as long as it takes, and end what other launchers left."""
        for seat in self.seats:
            if seat.name:
                self.ledger.renew(seat.name)
        self.ledger.bury()

    def dismiss(self) -> None:
        """End the actors; what they did not do waits again."""
        for seat in self.seats:
            self.ray.kill(seat.actor)
            if seat.name:
                self.ledger.leave(seat.name)
