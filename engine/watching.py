"""A graph that runs again whenever it changes, or a file that it names, or a file of the user's own node types.

The engine stays, and with it the models and the results. A run that is out of date is cancelled; an edit that does not
read or check is reported, and the last files go on being watched.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from weft.engine import events
from weft.engine.errors import WeftError
from weft.engine.graph.graph import Graph
from weft.engine.running.result import Result
from weft.engine.session import Engine

POLL_SECONDS = 0.5
"""How long a change may go unnoticed that falls between two looks."""

Stamps = Mapping[Path, tuple[int, int] | None]
"""Size and modification time of files; None for one that is not there."""


@dataclass
class Watch:
    """Runs a graph at once and then at every change.

    Args:
        path: the graph's file.
        read: reads the graph again.
        done: hears of each run that was not cancelled.
        failed: hears of a graph, or node types, that cannot run.
    """

    engine: Engine
    path: Path
    read: Callable[[], Graph]
    done: Callable[[Result], None]
    failed: Callable[[WeftError], None]
    listener: events.Listener = events.ignore
    _seen: Stamps = field(default_factory=dict, repr=False)
    """The watched files as they were before the latest run read them."""

    def until(self, stop: threading.Event) -> None:
        """Watch until asked to stop; a run that is going on then is cancelled."""
        while not stop.is_set():
            self._seen = _stamps(self._seen or self._always())
            outdated = threading.Event()
            worker = threading.Thread(target=self._run, args=(outdated,), name="weft run")
            worker.start()
            try:
                self._changed(stop)
            finally:
                outdated.set()
                worker.join()

    def _always(self) -> tuple[Path, ...]:
        return (self.path, *map(Path, self.engine.nodes))

    def _run(self, outdated: threading.Event) -> None:
        try:
            if self.engine.nodes:
                self.engine.reload_nodes()
            graph = self.read()
            files = (*self._always(), *self.engine.check(graph).files)
            self._seen = {path: self._seen[path] if path in self._seen else _stamp(path) for path in files}
            result = self.engine.execute(self.engine.plan(graph), listener=self.listener, cancelled=outdated.is_set)
        except WeftError as fault:
            self.failed(fault)
            return
        if result.status != "cancelled":
            self.done(result)

    def _changed(self, stop: threading.Event) -> None:
        """Wait until a watched file is not what it was, or `stop`."""
        from watchfiles import watch

        while not stop.is_set() and not self._outdated():
            folders = _folders(self._seen)
            looks = watch(
                *folders,
                stop_event=stop,
                rust_timeout=int(POLL_SECONDS * 1000),
                yield_on_timeout=True,
                recursive=False,
                debounce=200,
            )
            for _ in looks:
                if self._outdated() or _folders(self._seen) != folders:
                    break

    def _outdated(self) -> bool:
        seen = self._seen  # a run that begins replaces it
        return _stamps(seen) != seen


def _folders(files: Iterable[Path]) -> set[Path]:
    """The folders of files; an editor that saves by renaming is only seen there."""
    return {path.resolve().parent for path in files if path.resolve().parent.is_dir()}


def _stamps(files: Iterable[Path]) -> Stamps:
    return {path: _stamp(path) for path in files}


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_size, stat.st_mtime_ns
