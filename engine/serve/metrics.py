"""What a server measures, in the form of Prometheus."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from weft.engine.serve.served_run import ServedRun

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)
"""The bounds of the buckets of times."""


class Metrics:
    """The measures of one server, in a registry of its own."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        own = self.registry
        self._requests = Counter(
            "weft_requests", "Requests that were answered, by method and status.", ["method", "status"], registry=own
        )
        self._answer = Histogram(
            "weft_request_seconds",
            "Seconds until a request was answered, but for streams.",
            buckets=SECONDS,
            registry=own,
        )
        self._runs = Counter("weft_runs", "Runs that have ended, by state and graph.", ["state", "graph"], registry=own)
        self._waited = Histogram("weft_run_wait_seconds", "Seconds that runs waited.", buckets=SECONDS, registry=own)
        self._took = Histogram("weft_run_seconds", "Seconds that runs took.", buckets=SECONDS, registry=own)
        self._queue = Gauge("weft_queue_runs", "Runs that wait and that run.", ["state"], registry=own)

        self._leases = Counter("weft_leases", "Runs that workers had, by how that ended.", ["end"], registry=own)
        self._workers = Gauge("weft_workers", "Workers that asked for runs in the last minute.", registry=own)

    def lease_ended(self, how: str) -> None:
        """A worker has a run no longer: `done`, `failed`, `cancelled`, `returned`, `declined`, `expired` or `lost`."""
        self._leases.labels(how).inc()

    def answered(self, method: str, status: int, seconds: float | None) -> None:
        """A request was answered.

        Args:
            seconds: None for a stream, which lasts as long as its run.
        """
        self._requests.labels(method if method in _METHODS else "OTHER", str(status)).inc()
        if seconds is not None:
            self._answer.observe(seconds)

    def run_ended(self, run: ServedRun) -> None:
        """A run has ended."""
        self._runs.labels(run.state, run.graph or "posted").inc()
        if run.started:
            self._waited.observe(max(0.0, run.started - run.submitted))
            self._took.observe(max(0.0, run.ended - run.started))

    def text(self, counts: Mapping[str, int], workers: int = 0) -> bytes:
        """All measures.

        Args:
            counts: how many runs are in each state now.
            workers: how many take runs from the queue.
        """
        self._workers.set(workers)
        for state in ("queued", "running"):
            self._queue.labels(state).set(counts.get(state, 0))
        return generate_latest(self.registry)


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})
