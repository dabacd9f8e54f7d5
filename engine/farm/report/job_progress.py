"""How a job goes: counts, rate, time left, failures, workers."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from weft.engine.farm.work.ledger import FAULTS, Ledger

WINDOW = 60.0
"""Seconds over which the rate is measured."""


@dataclass(frozen=True)
class JobProgress:
    """A job at one moment.

    Args:
        state: `running`, `paused`, `cancelled`, `stopped` (see `cause`) or `finished`; `exported` where there is no
            ledger that would say.
        rate: items a second over the last minute.
        left: seconds until all is done at this rate; None where that is not known.
        failures: for each failed item its number, name and cause.
        workers: for each worker the item that it executes.
        quarantined: workers that get no items, because they fail at items where others succeed.
        unkept: why the store keeps no results, so that equal parts of items are computed again; empty where it does.
        held: items with a picture that is held back; counted when a job has ended, and for `weft farm status`.
    """

    title: str
    state: str
    cause: str
    counts: Mapping[str, int]
    total: int
    rate: float
    left: float | None
    failures: tuple[tuple[int, str, str], ...]
    workers: Mapping[str, str]
    quarantined: tuple[str, ...] = ()
    held: int = 0
    unkept: str = ""

    @property
    def ended(self) -> int:
        """Items of which nothing more is expected."""
        return self.total - self.counts.get("waiting", 0) - self.counts.get("leased", 0)

    def plain(self) -> dict[str, Any]:
        """As JSON values. `aside`, the former name of `quarantined`, is written too for one version."""
        return {**asdict(self), "aside": self.quarantined, "ended": self.ended}

    def __str__(self) -> str:
        counts = ", ".join(f"{count} {state}" for state, count in sorted(self.counts.items()))
        pace = f", {self.rate:.2f} items/s" if self.rate else ""
        left = f", about {self.left:.0f} s left" if self.left else ""
        held = f", {self.held} held back" if self.held else ""
        head = f"{self.title or 'job'}: {self.state}, {self.ended} of {self.total} ({counts}){held}{pace}{left}"
        cause = [f"  stopped: {self.cause}"] if self.state == "stopped" and self.cause else []
        unkept = [f"  warning: {self.unkept}"] if self.unkept else []
        failures = [f"  failed  {name}: {error}" for _, name, error in self.failures[:10]]
        more = [f"  and {len(self.failures) - 10} more"] if len(self.failures) > 10 else []
        apart = [f"  quarantined: worker {name}, which failed at {FAULTS} items in a row" for name in self.quarantined]
        return "\n".join([head, *cause, *unkept, *apart, *failures, *more])


def progress(ledger: Ledger) -> JobProgress:
    """How the job of a ledger goes."""
    counts = ledger.counts()
    waiting = counts["waiting"] + counts["leased"]
    state = ledger.state
    since = max(time.time() - WINDOW, ledger.submitted)
    recent = ledger.ended_since(since)
    rate = recent / max(time.time() - since, 1e-3) if waiting else 0.0
    return JobProgress(
        title=ledger.title,
        state="finished" if state == "running" and not waiting else state,
        cause=ledger.cause,
        counts=dict(counts),
        total=sum(counts.values()),
        rate=rate,
        left=waiting / rate if rate else None,
        failures=tuple((one.number, one.name, one.error) for one in ledger.entries("failed")),
        workers={name: item for name, _, item in ledger.workers()},
        quarantined=tuple(ledger.quarantined()),
        unkept=ledger.unkept,
    )
