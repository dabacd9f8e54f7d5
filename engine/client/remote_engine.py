"""An engine on a server, with the interface of the one in this process."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar
from uuid import uuid4

from weft.engine import events
from weft.engine.artifact import name_fault
from weft.engine.client.received import event_of, problem_of, result_of
from weft.engine.client.sent_graph import FilesSent, whole_graph
from weft.engine.client.server_calls import ServerCalls, Unreachable, wait
from weft.engine.errors import InputError, Problem
from weft.engine.graph.document import write
from weft.engine.graph.graph import Graph
from weft.engine.graph_files import as_graph
from weft.engine.keys import digest_bytes
from weft.engine.one_or_many import one_or_many
from weft.engine.running.emitter import raise_if_in_listener
from weft.engine.running.numbered_files import place
from weft.engine.running.result import Result
from weft.engine.spec.context import never
from weft.engine.submission import Submission
from weft.engine.unicode_text import read_json
from weft.engine.workspace import Workspace

T = TypeVar("T")

DEFAULT = "http://127.0.0.1:8420"
"""Where `weft serve` answers unless it is asked otherwise."""


def _server() -> str:
    return os.environ.get("WEFT_SERVER") or DEFAULT


def _token() -> str | None:
    return os.environ.get("WEFT_TOKEN") or None


@dataclass(frozen=True)
class RemoteChecked:
    """What is wrong with a graph, as the server sees it."""

    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]


@dataclass(frozen=True)
class RemotePlan:
    """What a run would do there: a record for each node, as `weft plan --json` prints them."""

    steps: tuple[Mapping[str, Any], ...]
    summary: str

    def __str__(self) -> str:
        lines = [f"{one['node']}  {one['state']}  {one['reason']}" for one in self.steps]
        return "\n".join([*lines, self.summary])


@dataclass
class Remote:
    """Runs graphs on a server: `run`, `submit`, `check` and `plan` as `Engine` has them. Files that a graph names are
    sent before it, and those that it gives are fetched. A connection that breaks off is taken up again.

    Args:
        url: of the server; left out, `WEFT_SERVER`, or the one of this machine.
        token: left out, `WEFT_TOKEN`.
        output: the folder that files are fetched to.
        inputs: folders in which files that graphs name are looked up here, to be sent.
        nodes: Python files with node types of the user's own, which the server has too.
        patience: seconds for which a server may be gone, or full, until a run counts as lost.
    """

    url: str = field(default_factory=_server)
    token: str | None = field(default_factory=_token, repr=False)
    output: str | Path = "output"
    inputs: Sequence[str | Path] = ()
    nodes: Sequence[str | Path] = ()
    patience: float = 300.0

    def __post_init__(self) -> None:
        self._calls = ServerCalls(self.url, self.token)
        self._workspace: Workspace | None = None

    def __enter__(self) -> Remote:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Nothing is kept open between requests."""

    def run(
        self,
        graph: Graph | str | Path,
        *,
        only: Iterable[str] = (),
        listener: events.Listener = events.ignore,
        cancelled: Callable[[], bool] = never,
        output: str | Path | None = None,
    ) -> Result:
        """Run a graph there. Arguments and errors are those of `Engine.run`; outputs that are no numbers or texts are
        descriptions of what the server has.

        Raises:
            InputError: where the server refuses or is not there (`unreachable-server`).
        """
        raise_if_in_listener("run a graph")
        body = self._body(graph, only)
        result = self._follow(body, listener, cancelled, Path(self.output if output is None else output))
        if result.failures:
            raise result.failures[0]
        return result

    def submit(
        self,
        graph: Graph | str | Path,
        *,
        only: Iterable[str] = (),
        previews: bool = False,
        listener: events.Listener = events.ignore,
        output: str | Path | None = None,
    ) -> Submission:
        """Run a graph there; gives its events as they come and its result when it is there, as `Engine.submit`."""
        folder, wanted = Path(self.output if output is None else output), one_or_many(only)

        def work(emit: events.Listener, cancelled: Callable[[], bool]) -> Result:
            def hear(event: events.Event) -> None:
                emit(event)
                listener(event)

            shown = events.Previewed(hear) if previews else hear
            return self._follow(self._body(graph, wanted), shown, cancelled, folder)

        return Submission(work)

    def call(self, name: str, /, **parameters: Any) -> Result:
        """Run a graph of the server by its name, with its parameters; errors are those of `run`."""
        raise_if_in_listener("run a graph")
        body = {"graph": name, "parameters": parameters}
        result = self._follow(body, events.ignore, never, Path(self.output))
        if result.failures:
            raise result.failures[0]
        return result

    def check(self, graph: Graph | str | Path, only: Iterable[str] = ()) -> RemoteChecked:
        """Every problem that the graph has there; files that it names are sent for it."""
        found = self._patient(lambda: self._calls.json("/api/check", self._body(graph, only)))
        return RemoteChecked(*(tuple(map(problem_of, found[name])) for name in ("problems", "warnings")))

    def plan(self, graph: Graph | str | Path, only: Iterable[str] = ()) -> RemotePlan:
        """What a run would do there, and why.

        Raises:
            GraphError: with every problem of the graph.
        """
        found = self._patient(lambda: self._calls.json("/api/plan", self._body(graph, only)))
        return RemotePlan(tuple(found["steps"]), found["summary"])

    def graphs(self) -> list[dict[str, Any]]:
        """The graphs of the server, with their parameters as JSON Schema."""
        found: list[dict[str, Any]] = self._patient(lambda: self._calls.json("/api/graphs"))["graphs"]
        return found

    def _body(self, graph: Graph | str | Path, only: Iterable[str]) -> dict[str, Any]:
        if self._workspace is None:
            self._workspace = Workspace(inputs=self.inputs, nodes=self.nodes)
        space = self._workspace
        read = as_graph(graph, space.limits.max_file_bytes)
        sent = FilesSent(space, lambda path: self._patient(lambda: self._calls.send(path.read_bytes())))
        whole = sent(whole_graph(read, space))
        return {"graph": read_json(write(whole, None)), "only": list(one_or_many(only))}

    def _patient(self, call: Callable[[], T]) -> T:
        until, tried = time.monotonic() + self.patience, 0
        while True:
            try:
                return call()
            except Unreachable as fault:
                wait(fault, tried, until)
                tried += 1

    def _follow(
        self, body: Mapping[str, Any], listener: events.Listener, cancelled: Callable[[], bool], folder: Path
    ) -> Result:
        """Submit a run and follow it to its end, over as many connections as it takes."""
        return _FollowedRun(self._calls, body, listener, cancelled, folder, self.patience).result()


@dataclass
class _FollowedRun:
    """One run on a server, from the request to its files.

    Args:
        key: names the request, so that sending it again gives the same run.
        last: the number of the last event.
    """

    calls: ServerCalls
    body: Mapping[str, Any]
    listener: events.Listener
    cancelled: Callable[[], bool]
    folder: Path
    patience: float
    key: str = field(default_factory=lambda: uuid4().hex)
    address: str = ""
    last: int = 0
    got: dict[str, tuple[Path, str]] = field(default_factory=dict)

    def result(self) -> Result:
        """Follow it; its result."""
        over = threading.Event()
        watch = threading.Thread(target=self._watch, args=(over,), name="weft remote cancel", daemon=True)
        watch.start()
        try:
            run = self._ended()
        except BaseException:  # nobody waits for it any more
            self._cancel()
            raise
        finally:
            over.set()
        files = (run["result"] or {}).get("files", ())
        return result_of(run, [self._fetched(one["name"], one["url"], one["digest"]) for one in files])

    def _ended(self) -> Mapping[str, Any]:
        """The run once it has ended; its events are heard meanwhile."""
        until, tried = time.monotonic() + self.patience, 0
        while True:
            before = self.last
            try:
                if run := self._stream():
                    return run
                fault = Unreachable("the server stops")
            except Unreachable as broken:
                fault = broken
            if self.last != before:
                until, tried = time.monotonic() + self.patience, 0
            wait(fault, tried, until)
            tried += 1

    def _stream(self) -> Mapping[str, Any] | None:
        """Follow one connection; the run where it has ended, None where the server stops."""
        previews = "?previews=1" if isinstance(self.listener, events.Previewed) else ""
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(self.last)}
        if self.address:
            opened = self.calls.opened(f"{self.address}/events{previews}", None, headers)
        else:
            opened = self.calls.opened(f"/api/runs{previews}", self.body, {**headers, "Idempotency-Key": self.key})
        with opened as answer:
            self.address = answer.headers.get("location") or self.address
            for number, event in self.calls.events(answer):
                self.last = number
                if event["event"] == "ended":
                    run: Mapping[str, Any] = event["run"]
                    return run
                if event["event"] == "server_stopping":
                    self.last = 0
                    return None
                self._hear(event)
        return None

    def _hear(self, event: Mapping[str, Any]) -> None:
        path = str(self._fetched(event["path"], event["url"])) if event["event"] == "artifact" else ""
        if (found := event_of(event, path)) is not None:
            self.listener(found)

    def _fetched(self, name: str, url: str, digest: str = "") -> Path:
        """A file of the run in the folder here: numbered, never over another one.

        Raises:
            InputError: where its bytes are not those that the server says.
        """
        if name not in self.got:
            if fault := name_fault(name):
                raise InputError(f"the server gives a file that cannot be written: {fault}", "", "malformed-path")
            content = self.calls.content(url)
            stem, ending = re.sub(r"_\d{4,}$", "", Path(name).stem), Path(name).suffix
            path = self.folder / Path(name).parent / stem
            path.parent.mkdir(parents=True, exist_ok=True)
            self.got[name] = place(path, ending, content, lambda path: False)[0], digest_bytes(content)
        path, found = self.got[name]
        if digest and found != digest:
            raise InputError(f"the file {name} came damaged", "run the graph again", "wrong-digest")
        return path

    def _watch(self, over: threading.Event) -> None:
        """Ask the server to cancel the run once it is to be cancelled here."""
        while not over.wait(0.1):
            if self.address and self.cancelled():
                if self._cancel():
                    return
                over.wait(1.0)

    def _cancel(self) -> bool:
        """Ask the server to cancel the run; whether it answered."""
        if self.address:
            with suppress(Unreachable, InputError):
                self.calls.json(f"{self.address}/cancel", {})
                return True
        return False
