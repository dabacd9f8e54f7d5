"""What a server holds: one engine, the queue, the logs, the graphs, the uploads, who may call."""

from __future__ import annotations

import logging
import sqlite3
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from weft.engine.errors import InputError
from weft.engine.folder_lock import FolderLock
from weft.engine.gc import settled_heap
from weft.engine.process_end import start_thread
from weft.engine.serve.admission import Admission
from weft.engine.serve.callers import Callers
from weft.engine.serve.dispatcher import Dispatcher
from weft.engine.serve.event_log import EventLogs
from weft.engine.serve.followers import Followers
from weft.engine.serve.graph_folder import GraphFolder
from weft.engine.serve.hidden_places import Place, places_of, without_places, without_places_in
from weft.engine.serve.job_folders import JobFolders
from weft.engine.serve.leases import Leases
from weft.engine.serve.metrics import Metrics
from weft.engine.serve.queue_file import QueueReplaced
from weft.engine.serve.run_queue import RunQueue
from weft.engine.serve.served_run import ServedRun
from weft.engine.serve.uploads import Uploads
from weft.engine.session import Engine

LOGGER = logging.getLogger("weft.serve")

WATCH_SECONDS = 1.0
"""How often it is looked whether the queue is still there."""

RUNS = "runs"
UPLOADS = "uploads"
PARTS = "parts"
QUEUE = "queue.sqlite"
"""What lies in the folder of a server."""


@dataclass(frozen=True)
class ServeOptions:
    """How a server is set up.

    Args:
        data: the folder that it keeps its queue, the files of runs and uploads in.
        graphs: the folder of its graphs; None offers those that ship.
        hosts: names by which it is called, next to those of the loopback interface.
        jobs: folders of jobs, or folders that have such, to be looked at.
        allowed: node types or categories that graphs which are posted may have; empty allows all.
        at_once: runs that compute at a time; 0 leaves all to workers, which have the models.
        lease: seconds after which the run of a worker that is silent is given to another one.
        result_bytes: of all files that a worker may send for one run.
        waiting: runs that may wait or run at a time.
        time_limit: seconds that a run may take.
        grace: seconds that runs have to end when the server stops, before they are given back.
        keep_bytes: bytes of files of runs that have ended; the oldest runs are forgotten beyond it.
        upload_bytes: the largest file that may be sent; `uploads_bytes` all of them together.
        body_bytes: the largest request in JSON.
        most_wait: seconds that a request may wait for the end of its run.
        followers: requests at a time that follow a run or wait for its end, of all callers.
    """

    data: Path
    graphs: Path | None = None
    hosts: tuple[str, ...] = ()
    jobs: tuple[Path, ...] = ()
    allowed: frozenset[str] = frozenset()
    at_once: int = 8
    lease: float = 15.0
    result_bytes: int = 2 * 2**30
    waiting: int = 1000
    time_limit: float = 3600.0
    grace: float = 30.0
    keep_bytes: int = 10 * 10**9
    upload_bytes: int = 256 * 2**20
    uploads_bytes: int = 4 * 2**30
    body_bytes: int = 10**7
    most_wait: float = 300.0
    followers: int = 1000


@dataclass(eq=False)
class Service:
    """What the handlers of requests work with.

    Args:
        engine: looks up files in the folder of uploads in place of the working one.
    """

    engine: Engine
    options: ServeOptions
    callers: Callers = field(default_factory=Callers)

    def __post_init__(self) -> None:
        options = self.options
        if options.graphs is not None and not options.graphs.is_dir():
            raise InputError(f"there is no folder `{options.graphs}`", "name a folder of graphs", "missing-file")
        self.uploads = Uploads(self.folder(UPLOADS), options.upload_bytes, options.uploads_bytes)
        self.queue = RunQueue(options.data / QUEUE, options.waiting, self.callers.quota)
        self.graphs = GraphFolder(options.graphs)
        self.jobs = JobFolders(options.jobs)
        self.admission = Admission(self.engine, self.graphs, options.allowed, options.at_once == 0)
        self.logs = EventLogs()
        self.followers = Followers(options.followers)
        self.metrics = Metrics()
        self.dispatcher = Dispatcher(
            self.engine,
            self.queue,
            self.admission,
            self.logs,
            self.folder(RUNS),
            at_once=options.at_once,
            time_limit=options.time_limit,
            keep_bytes=options.keep_bytes,
            ended=self._run_ended,
            trusted=self.callers.work,
            hidden=lambda plain: without_places_in(plain, self.places),
        )
        self.leases = Leases(
            self.queue,
            self.admission,
            self.dispatcher,
            self.logs,
            self.folder(RUNS),
            self.folder(PARTS),
            options.lease,
            options.time_limit,
            options.result_bytes,
            self.metrics.lease_ended,
        )
        self.dispatcher.leased = self.leases.cancel
        self.ready = False
        self._over = threading.Event()

    def folder(self, name: str) -> Path:
        """A folder of the server's own."""
        return self.options.data / name

    @contextmanager
    def open(self) -> Iterator[None]:
        """While the block runs, what waits is run."""
        with settled_heap(), _quick_turns():
            self.queue.recover()
            self._hold_uploads()
            self.dispatcher.start()
            self.leases.start()
            watch = start_thread(self._watch_files, "weft serve files", self._over.set)
            self.ready = True
            try:
                yield
            finally:
                self.ready = False
                self.leases.stop()
                self.dispatcher.stop(self.options.grace)
                self._over.set()
                watch.join()
                self.queue.close()
                self.engine.close()

    def _hold_uploads(self) -> None:
        """Keep the files that the runs of an earlier server need."""
        for id in self.queue.unfinished():
            self.uploads.hold(id, self.uploads.used(self.queue.document(id)))

    def _run_ended(self, run: ServedRun) -> None:
        self.uploads.release(run.id)
        self.metrics.run_ended(run)

    def begin_to_stop(self) -> None:
        """Take nothing any more, and let those who follow a run go: they come back to the next server."""
        self.ready = False
        self.leases.stop()
        self.dispatcher.begin_to_stop(self.options.grace)
        self.logs.close_all({"event": "server_stopping"})

    def hold(self, lock: FolderLock) -> None:
        """Write to the queue only while the folder is this server's: somebody may delete it, and start another one."""

        def held() -> None:
            try:
                lock.check()
            except (InputError, OSError) as fault:
                raise QueueReplaced(f"the folder of the server: {fault}") from None

        self.queue.file.held = held

    def fault_of_files(self) -> str:
        """Why nothing can be accepted now, as where another file lies in the place of the queue; empty where it can."""
        try:
            self.queue.file.check()
        except sqlite3.DatabaseError as fault:
            return str(fault)
        return ""

    def _watch_files(self) -> None:
        """See now and then to it that the queue is where the next server looks for it."""
        before = ""
        while not self._over.wait(WATCH_SECONDS):
            if (fault := self.fault_of_files()) != before and fault:
                LOGGER.error("nothing is accepted: %s", fault)
            before = fault

    @property
    def places(self) -> tuple[Place, ...]:
        """The server's folders, with the words that callers get for them."""
        own = ((self.options.data, "DATA"), *(((self.options.graphs, "GRAPHS"),) if self.options.graphs else ()))
        return (*own, *places_of(self.engine))

    def without_places(self, text: str) -> str:
        """A text without where the server's folders lie, as callers get it."""
        return without_places(text, self.places)


@contextmanager
def _quick_turns() -> Iterator[None]:
    """Threads of this process take turns at Python more often than usual, so that a request gets its turn soon while
    nodes compute."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(TURN)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


TURN = 0.0005
"""Seconds."""
