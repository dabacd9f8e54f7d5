"""One run under a lease: its files fetched, run as a server runs it, its events, files and end sent.

Two threads go with it. One asks the server all the time whether the run is to stop, which also extends the lease,
so that a cancelled run stops within a step and a step may take as long as it wants. The other one sends what happens,
in its order, and a file before the event that names it; what the server does not say that it has is sent again, so a
server that was started again knows the run from its first event on.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from weft.engine.client.server_calls import Unreachable
from weft.engine.errors import Cancelled, GraphError, InputError
from weft.engine.graph import document
from weft.engine.keys import digest_file
from weft.engine.leased.fetched_inputs import FetchedInputs
from weft.engine.leased.lease_calls import GivenUp, LeaseCalls, LeaseGone, pause_after
from weft.engine.planning.planner import Plan
from weft.engine.process_end import start_thread
from weft.engine.serve.event_log import EventLog, Numbered
from weft.engine.serve.hidden_places import without_places_in
from weft.engine.serve.run_attempt import RunAttempt, RunStop
from weft.engine.serve.run_recipe import NOTHING, RunRecipe, recipe_of
from weft.engine.serve.served_run import RunEnd
from weft.engine.session import Engine

PATIENCE = 600.0
"""Seconds for which a server may be away until a run, or its result, is given up."""

AT_MOST_EVERY = 0.1
"""Seconds between two requests with events."""

AT_A_TIME = 500
"""Events in one request, at most."""

ELSEWHERE = frozenset({"unknown-model", "not-downloaded", "missing-file", "outside-folders"})
"""The problems of a graph that another worker may not have: files that this machine lacks."""


@dataclass(eq=False)
class LeasedRun:
    """A run that a server has given to this worker.

    Args:
        given: the lease, as the server says it.
        folder: of the files of this run alone; it is removed afterwards.
        places: folders whose names nobody else is to read, each with the word that stands for it.
        known: whether it is given back where no earlier run has its result.
    """

    engine: Engine
    calls: LeaseCalls
    inputs: FetchedInputs
    given: Mapping[str, Any]
    folder: Path
    places: tuple[tuple[Path, str], ...] = ()
    known: bool = False
    log: EventLog = field(default_factory=EventLog, repr=False)
    stop: RunStop = field(init=False, repr=False)
    _gone: bool = False
    _ended: bool = False
    """Whether the server has ended it already."""
    _recipe: RunRecipe = NOTHING
    _have: int = 0
    _refused: str = ""
    _faulty: GraphError | None = None
    _over: threading.Event = field(default_factory=threading.Event, repr=False)
    _changed: threading.Event = field(default_factory=threading.Event, repr=False)
    _sent: set[str] = field(default_factory=set, repr=False)

    def __post_init__(self) -> None:
        self.lease = str(self.given["lease"])
        self.stop = RunStop(time.monotonic() + float(self.given["left"]))

    def __call__(self) -> str:
        """Run it; how it ended, in a word for people."""
        watch = start_thread(self._watch, "weft work lease", self._end_now)
        sender = start_thread(self._send, "weft work events", self._end_now)
        try:
            with self.log.changed.calling(self._changed.set):
                end = self._run()
                self.log.close()
                sender.join()
            return self._reported(end)
        finally:
            self._over.set()
            self.log.close()
            watch.join(1.0)
            shutil.rmtree(self.folder, ignore_errors=True)

    def ask_to_stop(self) -> None:
        """Stop it, to be given back."""
        self.stop.by_server = True

    def _end_now(self) -> None:
        self.ask_to_stop()
        self._over.set()
        self._changed.set()

    def _run(self) -> RunEnd | None:
        try:
            for one in self.given["inputs"]:
                self.calls.patiently(partial(self.inputs.have, one, self._fetch), PATIENCE)
        except LeaseGone:
            self._lost()
            return None
        except (GivenUp, InputError) as fault:
            self._refused = "" if isinstance(fault, GivenUp) else fault.message
            return None
        except OSError as fault:
            self._refused = f"a file that the graph names cannot be kept: {fault.strerror}"
            return None
        attempt = RunAttempt(
            self.engine,
            str(self.given["run"]),
            self.log,
            self.stop,
            self.folder,
            float(self.given["left"]),
            self._known,
        )
        return attempt(self._planned)

    def _fetch(self, name: str, path: Path, size: int) -> None:
        self.calls.fetch(self.lease, name, path, size)

    def _planned(self) -> Plan:
        try:
            return self.engine.plan(document.read(str(self.given["graph"]).encode()), tuple(self.given["only"]))
        except GraphError as fault:
            self._faulty = fault
            raise

    def _known(self, plan: Plan) -> RunEnd | None:
        """The end of a run whose result the server has of an earlier one; None where it is to run."""
        self._recipe = recipe_of(plan, self.engine.safety)
        if self.given["earlier"] and self._recipe.key:
            try:
                known = self.calls.patiently(partial(self.calls.planned, self.lease, self._recipe), PATIENCE)
                self._ended = known
            except LeaseGone:
                self._lost()
            except (GivenUp, InputError):  # it is computed
                pass
        if self.known and not self._ended:
            self.ask_to_stop()
            raise Cancelled("no earlier run has the result")
        return RunEnd("done") if self._ended else None

    # what the server hears

    def _watch(self) -> None:
        """Extend the lease, and hear whether to stop, until the run is over."""
        tried = 0
        while not self._over.is_set() and not self._gone:
            try:
                answer = self.calls.renew(self.lease, 0, (), wait=float(self.given["seconds"]) / 3)
                tried = 0
                self._answered(answer)
                if self.stop.by_caller:  # the server answers at once from now on
                    self._over.wait(float(self.given["seconds"]) / 3)
            except LeaseGone:
                self._lost()
            except (Unreachable, InputError) as fault:
                away = fault if isinstance(fault, Unreachable) else Unreachable(str(fault))
                self._over.wait(pause_after(away, tried))
                tried += 1

    def _answered(self, answer: Mapping[str, Any]) -> None:
        self.log.watched = int(bool(answer["previews"]))
        if answer["have"] < self._have:  # the server was started again, and knows nothing of what was sent before
            self._have = answer["have"]
            self._changed.set()
        if answer["stop"]:
            self.stop.by_caller = True

    def _lost(self) -> None:
        self._gone = True
        self.stop.by_server = True
        self._changed.set()

    def _send(self) -> None:
        """Send what happens until the log has ended and all of it is there."""
        while not self._gone:
            over = self.log.over  # looked at first: what comes in between is sent before the end
            self._changed.clear()
            have = self._have
            events = self.log.after(have)[:AT_A_TIME]
            try:
                if events:
                    self._have = self.calls.patiently(partial(self._heard, have, events), PATIENCE)
                elif over:
                    return
                else:
                    self._changed.wait(1.0)
                    continue
            except LeaseGone:
                self._lost()
                return
            except (GivenUp, InputError) as fault:
                self._refused = "" if isinstance(fault, GivenUp) else fault.message
                self.stop.by_server = True
                return
            if not over:
                time.sleep(AT_MOST_EVERY)

    def _heard(self, have: int, events: list[Numbered]) -> int:
        """Send events after those that the server has; the number of the last one that it has by then."""
        for _, event in events:
            if event.get("event") == "artifact":
                self._send_file(str(event["path"]), digest_file(self.folder / str(event["path"])))
        answer = self.calls.renew(self.lease, have, [(number, self._plain(event)) for number, event in events])
        self._answered(answer)
        return int(answer["have"])

    def _send_file(self, name: str, digest: str) -> None:
        if name not in self._sent:
            self.calls.send(self.lease, name, self.folder / name, digest)
            self._sent.add(name)

    def _plain(self, values: Any) -> Any:
        return without_places_in(values, self.places)

    # how it ends

    def _reported(self, end: RunEnd | None) -> str:
        """Say how it ended; in a word."""
        if self._ended:
            return "done, by an earlier run"
        if self._gone:
            return "lost: the server has given it to somebody else, or has ended it"
        reason = self._reason(end)
        if end is None or reason or self._refused:
            return self._given_back(reason or self._refused)
        try:
            self.calls.patiently(partial(self._end, end), PATIENCE)
            return end.state
        except LeaseGone:
            return "lost: the server has given it to somebody else, or has ended it"
        except GivenUp as fault:
            return f"lost: {fault}"
        except InputError as fault:
            return self._given_back(fault.message)

    def _reason(self, end: RunEnd | None) -> str:
        """Why this worker cannot run what another one may; empty where it can, or none could."""
        if end is None or self._faulty is None:
            return ""
        problems = self._faulty.problems
        found = next((one for one in problems if one.code in ELSEWHERE), None)
        if found is None and self.given["checked"]:  # the server finds no problem with what it has itself
            found = problems[0]
        if found is None:
            return ""
        return str(self._plain(f"{found.where}: {found.message}" if found.where else found.message))

    def _end(self, end: RunEnd) -> None:
        for one in end.files:
            self._send_file(one["name"], one["digest"])
        files = [{"name": one["name"], "digest": one["digest"]} for one in end.files]
        result = None if end.result is None else {**self._plain(end.result), "files": files}
        body = {"state": end.state, "result": result, "error": self._plain(end.error)}
        self.calls.end(self.lease, {**body, "recipe": self._recipe._asdict()})

    def _given_back(self, reason: str) -> str:
        body = {"state": "returned", **({"reason": reason} if reason else {})}
        with suppress(LeaseGone, GivenUp, InputError):  # the server gives it to somebody else soon
            self.calls.patiently(partial(self.calls.end, self.lease, body), 5.0)
        return f"given back: {reason}" if reason else "given back"
