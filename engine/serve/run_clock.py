"""For how long runs have gone on: by a clock that nobody sets, since that of the machine is set ahead and back."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from weft.engine.serve.served_run import ServedRun


@dataclass(eq=False)
class RunClock:
    """When runs were begun, in seconds of the monotonic clock."""

    _begun: dict[str, float] = field(default_factory=dict, repr=False)

    def begin(self, id: str) -> None:
        """A run begins now."""
        self._begun[id] = time.monotonic()

    def seconds(self, run: ServedRun) -> float:
        """For how long a run has gone on; of one that an earlier server began, by the clock of the machine."""
        begun = self._begun.get(run.id)
        return max(0.0, time.time() - run.started) if begun is None else time.monotonic() - begun

    def has_begun(self, id: str, seconds: float) -> bool:
        """Whether a run was begun longer ago than so many seconds, or by an earlier server."""
        begun = self._begun.get(id)
        return begun is None or time.monotonic() - begun > seconds

    def forget(self, id: str) -> None:
        """A run goes on no more."""
        self._begun.pop(id, None)
