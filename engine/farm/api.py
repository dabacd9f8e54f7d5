"""Jobs from Python: submit a graph and a sweep, take what is published as it comes.

with Farm("output/faces", workers=2).submit(graph, {"prompt": prompts, "seed": range(10)}) as running:
    for entry, sidecar in running:  # or `async for`
        print(entry.settings, sidecar)
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from weft.engine.device import dealt_devices
from weft.engine.errors import GraphError, Problem, listed
from weft.engine.farm.launchers.local import Launcher
from weft.engine.farm.launchers.ray_driver import Pool
from weft.engine.farm.report.job_progress import JobProgress, progress
from weft.engine.farm.submit import submit
from weft.engine.farm.sweep.job import VERSION, Job, made, modelled
from weft.engine.farm.work.job_facts import Setup
from weft.engine.farm.work.ledger import Entry, Ledger
from weft.engine.farm.work.ledger_file import ledger_path
from weft.engine.farm.work.publishing import SIDECAR
from weft.engine.graph.graph import Graph
from weft.engine.one_or_many import one_or_many

POLL = 0.1
"""Seconds after which the ledger is asked for what is new."""


@dataclass(frozen=True)
class Farm:
    """Workers of this machine or of a Ray cluster, and the folder that they publish into.

    Args:
        workers: how many processes.
        devices: one worker for each, instead of `workers`.
        ray: the address of a cluster (`auto`, `local`, HOST:PORT) for workers on Ray, each with the job's `resources`.
        setup: what their engines are made with.
    """

    folder: str | Path
    workers: int = 1
    devices: Sequence[str] = ()
    ray: str = ""
    setup: Setup = field(default_factory=Setup)

    def submit(self, graph: Graph, sweep: Mapping[str, Any], **parts: Any) -> Running:
        """Start a job over a graph, or resume it.

        Args:
            sweep: for each parameter or `node.input` its values, one value for all items, or a source of
                values as a job file has it, such as `{"count": 9}`.
            parts: `name`, `zip`, `retries`, `max_failures` and the others of a job file.

        Raises:
            GraphError: with every problem of the job.
        """
        axes = {
            target: values if isinstance(values, Mapping) else [*one_or_many(values)]
            for target, values in sweep.items()
        }
        job = made(modelled({"weft_job": VERSION, "graph": "", "sweep": axes, **parts}), Path.cwd(), graph)
        self._refuse_types_of_this_process(job)
        submit(job, Path(self.folder), self.setup)
        stop = threading.Event()
        return Running(self._launcher(job, stop.is_set), stop)

    def _launcher(self, job: Job, stopped: Callable[[], bool]) -> Launcher | Pool:
        folder = Path(self.folder)
        if self.ray:
            return Pool(folder, self.ray, self.workers, job.resources, stopped=stopped)
        return Launcher(
            folder, one_or_many(self.devices) or dealt_devices(self.setup.device, self.workers), stopped=stopped
        )

    def _refuse_types_of_this_process(self, job: Job) -> None:
        known = self.setup.engine().catalog
        if own := [name for name in job.graph.types if name not in known]:
            hint = "put them into a file and give Setup(nodes=[FILE])"
            raise GraphError(
                [Problem(f"workers do not know the node types {listed(own)}", hint, code="unknown-node-type")]
            )


class Running:
    """A job under way: iterate over it for items with their sidecars, as they are published, each once."""

    def __init__(self, launcher: Launcher | Pool, stop: threading.Event) -> None:
        self.folder = launcher.folder
        self._stop = stop
        self._ended: Future[None] = Future()
        self._launcher = launcher
        threading.Thread(target=self._run, name="weft farm", daemon=True).start()

    def _run(self) -> None:
        try:
            self._launcher.run()
            self._ended.set_result(None)
        except BaseException as fault:
            self._ended.set_exception(fault)

    def __enter__(self) -> Running:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop the workers; submitting again goes on."""
        self._stop.set()
        self._ended.exception()

    @property
    def progress(self) -> JobProgress:
        """How the job goes."""
        ledger = Ledger(ledger_path(self.folder))
        try:
            return progress(ledger)
        finally:
            ledger.close()

    @property
    def over(self) -> bool:
        """Whether nothing is run any more."""
        return self._ended.done()

    def result(self, timeout: float | None = None) -> JobProgress:
        """How the job ended.

        Raises:
            InputError: where workers cannot start.
            TimeoutError: where it has not ended in time.
        """
        self._ended.result(timeout)
        return self.progress

    def __iter__(self) -> Iterator[tuple[Entry, Path]]:
        seen: set[int] = set()
        while True:
            over = self.over
            for entry, sidecar in self.published(seen):
                seen.add(entry.number)
                yield entry, sidecar
            if over:
                self._ended.result()
                return
            time.sleep(POLL)

    def __aiter__(self) -> AsyncIterator[tuple[Entry, Path]]:
        return _Published(self)

    def published(self, seen: Collection[int]) -> list[tuple[Entry, Path]]:
        """What is published, with the sidecars.

        Args:
            seen: the numbers of items to leave out.
        """
        ledger = Ledger(ledger_path(self.folder))
        try:
            new = [one for one in ledger.entries("done", "cached") if one.number not in seen]
        finally:
            ledger.close()
        return [(entry, self.folder / f"{entry.name}{SIDECAR}") for entry in new]


class _Published(AsyncIterator[tuple[Entry, Path]]):
    """The items of a job as they are published, for one listener in an event loop.

    A wait for the next item may be cancelled and begin again: no item is lost. The loop waits for no thread that waits
    for the job.
    """

    def __init__(self, job: Running) -> None:
        self._job = job
        self._seen: set[int] = set()
        self._new: deque[tuple[Entry, Path]] = deque()

    async def __anext__(self) -> tuple[Entry, Path]:
        while not self._new:
            over = self._job.over
            published = await asyncio.to_thread(self._job.published, frozenset(self._seen))
            # Nothing is awaited from here on, so nothing is lost; somebody else may have waited for the next item too.
            self._new += [one for one in published if one[0].number not in self._seen]
            self._seen.update(entry.number for entry, _ in self._new)
            if not self._new:
                if over:
                    self._job.result()
                    raise StopAsyncIteration
                await asyncio.sleep(POLL)
        return self._new.popleft()
