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
from weft.engine.file_stamp import FileStamp, wait_for_tick
from weft.engine.graph.graph import Graph
from weft.engine.running.result import Result
from weft.engine.session import Engine

POLL_SECONDS = 0.5
"""How long a change may go unnoticed that falls between two looks."""

Stamps = Mapping[Path, FileStamp | None]
"""The states of files; None for one that is not there."""


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
            self._seen = _stamps(self._seen or (self.path, *map(Path, self.engine.nodes)))
            _wait_for_tick(self._seen)
            outdated = threading.Event()
            worker = threading.Thread(target=self._run, args=(outdated,), name="weft run")
            worker.start()
            try:
                self._changed(stop)
            finally:
                outdated.set()
                worker.join()

    def _run(self, outdated: threading.Event) -> None:
        try:
            if self.engine.nodes:
                self._reload_nodes()
            graph = self.read()
            before, nodes = self._seen, self.engine.node_files
            files = (self.path, *nodes, *self.engine.check(graph).files)
            self._seen = {path: before[path] if path in before else nodes.get(path) or _stamp(path) for path in files}
            result = self.engine.execute(self.engine.plan(graph), listener=self.listener, cancelled=outdated.is_set)
        except WeftError as fault:
            self.failed(fault)
            return
        if result.status != "cancelled":
            self.done(result)

    def _reload_nodes(self) -> None:
        """Read the user's node types; what they import is watched also where that fails."""
        try:
            self.engine.reload_nodes()
        finally:
            self._seen = {**self.engine.node_files, **self._seen}

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


def _stamp(path: Path) -> FileStamp | None:
    try:
        return FileStamp.of(path.stat())
    except OSError:
        return None


def _wait_for_tick(stamps: Stamps) -> None:
    """Wait until the next write of any of the files shows in its stamp."""
    for stamp in stamps.values():
        if stamp:
            wait_for_tick(stamp)
