"""A worker: takes runs from a server one after another, as many at a time as it has devices, until it is to stop."""

from __future__ import annotations

import re
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from weft.engine.client.server_calls import Unreachable
from weft.engine.errors import InputError, printable
from weft.engine.leased.fetched_inputs import FetchedInputs
from weft.engine.leased.lease_calls import LeaseCalls, pause_after
from weft.engine.leased.leased_run import LeasedRun
from weft.engine.process_end import start_thread
from weft.engine.running.delivery import versions
from weft.engine.serve.seen_workers import type_version
from weft.engine.session import Engine

FINAL = frozenset({"no-token", "scope-missing", "worker-differs", "not-found", "foreign-host", "malformed-body"})
"""Refusals that asking again does not change."""


LEASE = re.compile(r"[0-9a-f]{32}\Z")


@dataclass(eq=False)
class QueueWorker:
    """Runs what waits in the queue of a server.

    Args:
        engine: looks up files in the folder of `inputs` in place of the working one.
        folder: the files of runs that go on lie in there, and are removed.
        name: of this machine, for people.
        at_once: runs at a time.
        places: folders whose names the server is not to read, each with the word that stands for it.
        say: hears what happens, in words.
        wait: seconds that the server may let a request for a run wait.
    """

    engine: Engine
    calls: LeaseCalls
    inputs: FetchedInputs
    folder: Path
    name: str
    at_once: int = 1
    places: tuple[tuple[Path, str], ...] = ()
    say: Callable[[str], None] = lambda text: None
    wait: float = 5.0
    instance: str = field(default_factory=lambda: secrets.token_hex(8))
    _running: dict[str, LeasedRun] = field(default_factory=dict, repr=False)
    _stop: threading.Event = field(default_factory=threading.Event, repr=False)
    _away: bool = False
    _fault: InputError | None = None

    def until_stopped(self, grace: float) -> None:
        """Take runs until `ask_to_stop`; then those that go on have so many seconds before they are given back.

        Raises:
            InputError: where the server refuses this worker: its token, or its versions.
        """
        slots = [
            start_thread(self._slot, f"weft work {number + 1}", self._hurry) for number in range(max(1, self.at_once))
        ]
        slots.append(start_thread(partial(self._slot, known=True), "weft work known", self._hurry))
        while not self._stop.wait(1.0):
            pass
        end = time.monotonic() + grace
        while self._running and time.monotonic() < end:
            time.sleep(0.05)
        self._hurry()
        for slot in slots:
            slot.join(self.wait + 10.0)
        if self._fault is not None:
            raise self._fault

    def ask_to_stop(self) -> None:
        """Take nothing any more."""
        self._stop.set()

    @property
    def stopping(self) -> bool:
        """Whether nothing is taken any more."""
        return self._stop.is_set()

    def _hurry(self) -> None:
        """Give back what goes on."""
        self._stop.set()
        for run in list(self._running.values()):
            run.ask_to_stop()

    def _slot(self, known: bool = False) -> None:
        """Take runs.

        Args:
            known: only those of which an earlier run may have the result: they wait for no device.
        """
        tried = 0
        while not self._stop.is_set():
            try:
                given = self.calls.take({**self._record, "known": known}, self.wait)
                if self._away:
                    self.say("the server answers again")
                self._away, tried = False, 0
            except Unreachable as fault:
                self._missing(str(fault))
                self._stop.wait(pause_after(fault, tried))
                tried += 1
            except InputError as refused:
                if refused.code in FINAL:
                    self._fault = refused
                    self._stop.set()
                    return
                self._missing(refused.message)
                self._stop.wait(pause_after(Unreachable(""), tried))
                tried += 1
            else:
                if given is not None:
                    self._run(given, known)

    def _missing(self, reason: str) -> None:
        """Say once that there is no server."""
        if not self._away:
            self.say(f"{reason}; it is asked again")
        self._away = True

    def _run(self, given: dict[str, Any], known: bool) -> None:
        lease, began = str(given["lease"]), time.monotonic()
        if not LEASE.match(lease):
            raise InputError(f"the server gives a lease the name `{lease[:80]}`", "", "malformed-path")
        folder = self.folder / lease
        run = LeasedRun(self.engine, self.calls, self.inputs, given, folder, self.places, known)
        self._running[lease] = run
        if self._stop.is_set():  # it was asked for before
            run.ask_to_stop()
        try:
            how = run()
        except Exception as fault:  # the worker goes on; the server gives the run to somebody else soon
            how = f"lost: {type(fault).__name__}: {fault}"
        finally:
            self._running.pop(lease, None)
        if known and how == "given back":
            return  # nobody has lost anything by it
        what = printable(f"{given['run']} {given['title']}: {how}")
        self.say(f"{what} ({time.monotonic() - began:.1f} s)")

    @cached_property
    def _record(self) -> dict[str, Any]:
        """What the server is to know of this worker; node types are imported for it."""
        return {
            "name": self.name,
            "instance": self.instance,
            "versions": versions(),
            "types": {name: type_version(one) for name, one in self.engine.catalog.items()},
            "devices": self.engine.resolved_device.split(","),
        }
