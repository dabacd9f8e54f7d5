"""One attempt at a run: its plan, its events, and how it ended.

A server makes it of what waits in its queue, a worker of what it has leased, so that both give the same.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from weft.engine import events
from weft.engine.errors import WeftError
from weft.engine.planning.planner import Plan
from weft.engine.running.result import Result
from weft.engine.serve.event_log import EventLog
from weft.engine.serve.plain_faults import plain_fault
from weft.engine.serve.result_files import described_files
from weft.engine.serve.served_run import RunEnd, RunState
from weft.engine.session import Engine

LOGGER = logging.getLogger("weft.serve")

MOST_STEPS = 2000
"""Of a plan with more steps, the first ones are among the events."""


WORDED = (events.WarningGiven, events.StoreDamaged, events.FileChanged, events.NodeFailed)
"""The events with texts that may name files of this machine."""


@dataclass(eq=False)
class RunStop:
    """Whether a run is to stop, and why; asked in each step."""

    until: float
    by_caller: bool = False
    by_server: bool = False

    def __call__(self) -> bool:
        return self.by_caller or self.by_server or self.late

    @property
    def late(self) -> bool:
        """Whether its time is over."""
        return time.monotonic() > self.until


class WatchedPreviews(events.Previewed):
    """A listener that receives previews while somebody wants to see them."""

    def __init__(self, listener: events.Listener, log: EventLog) -> None:
        super().__init__(listener)
        self._log = log

    def rendered(self, node: str, preview: events.Preview) -> bytes:
        """A preview, where somebody looks."""
        return super().rendered(node, preview) if self._log.watched else b""


@dataclass(frozen=True, eq=False)
class RunAttempt:
    """Plans and executes one run.

    Args:
        id: of the run.
        folder: of its files.
        time_limit: seconds that it may take, for the words that say so; `stop` keeps it.
        known: how it ends without being run, by its plan; None where it is to run.
        hidden: words events and results in texts that callers may read, without where things lie on this machine.
    """

    engine: Engine
    id: str
    log: EventLog
    stop: RunStop
    folder: Path
    time_limit: float
    known: Callable[[Plan], RunEnd | None] = lambda plan: None
    hidden: Callable[[Any], Any] = lambda plain: plain

    def __call__(self, planned: Callable[[], Plan]) -> RunEnd | None:
        """How it ended; None where it is to begin again elsewhere."""
        try:
            plan = planned()
            if (end := self.known(plan)) is not None:
                return end
            self.log.add({"event": "plan", "steps": [step.plain() for step in plan.steps[:MOST_STEPS]]})
            listener = WatchedPreviews(self._hear, self.log)
            result = self.engine.execute(
                plan, listener=listener, cancelled=self.stop, output=self.folder, metadata=True
            )
            return self._of_result(result)
        except BaseException as fault:
            return self._of_fault(fault)

    def _hear(self, event: events.Event) -> None:
        record = event.plain()
        if isinstance(event, events.ArtifactWritten):
            name = Path(event.path).relative_to(self.folder).as_posix()
            record = {**record, "path": name, "url": f"/api/runs/{self.id}/files/{name}"}
        elif isinstance(event, WORDED):
            record = self.hidden(record)
        self.log.add(record)

    def _of_result(self, result: Result) -> RunEnd | None:
        stop = self.stop
        if result.status == "cancelled" and not stop.by_caller and not stop.late:
            return None
        files = described_files(result.paths, self.folder)
        plain = {name: one for name, one in result.plain().items() if name != "paths"} | {"files": files}
        plain |= {name: self.hidden(plain[name]) for name in ("warnings", "failures") if plain[name]}
        state: RunState = {"done": "done", "failed": "failed"}.get(result.status, "cancelled")  # type: ignore[assignment]
        if state == "cancelled" and not stop.by_caller:
            return RunEnd("failed", plain, late_error(self.time_limit))
        error: Mapping[str, Any] | None = None
        if state == "failed" and result.failures:
            error = {"message": str(result.failures[0]), "code": plain["failures"][0]["code"] or "node-failed"}
        return RunEnd(state, plain, error)

    def _of_fault(self, fault: BaseException) -> RunEnd | None:
        if self.stop.by_server and not self.stop.by_caller:
            return None
        if not isinstance(fault, WeftError):
            LOGGER.error("a run failed", exc_info=fault, extra={"run": self.id})
        return RunEnd("failed", error=plain_fault(fault))


def late_error(time_limit: float) -> Mapping[str, Any]:
    """The error of a run whose time was over."""
    return {"message": f"it did not end within {time_limit:g} s", "code": "time-limit"}
