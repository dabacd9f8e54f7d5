"""A run as a server keeps it: what was asked, by whom, and what became of it."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from weft.engine.serve.result_files import FileRecord

RunState = Literal["queued", "running", "done", "failed", "cancelled"]

ENDED: frozenset[RunState] = frozenset({"done", "failed", "cancelled"})
"""The states that a run keeps."""

RUN_ID = re.compile(r"[0-9a-f]{28}\Z")


def shown_worker(holder: str) -> str:
    """A worker as callers see it: `CALLER/NAME`."""
    return holder.partition("#")[0]


def new_id() -> str:
    """An id that sorts by time and that nobody guesses."""
    return f"{int(time.time() * 1000):012x}{secrets.token_hex(8)}"


@dataclass(frozen=True)
class RunRequest:
    """What a caller asks for, checked.

    Args:
        graph: the name of the server's graph; empty for one that was posted.
        parameters: what they set.
        document: the graph with that set, as a graph file has it.
        only: the nodes to run instead of every sink and output.
        key: the caller's own name for this request (`Idempotency-Key`), empty where there is none.
        fingerprint: a digest of all that decides the result, to compare requests of one key by.
        priority: runs of greater ones go first.
    """

    caller: str
    graph: str
    title: str
    parameters: Mapping[str, Any]
    document: bytes
    only: tuple[str, ...] = ()
    key: str = ""
    fingerprint: str = ""
    priority: int = 0


@dataclass(frozen=True)
class ServedRun:
    """One request in the queue; times are in seconds since 1970, 0 where they are still to come.

    Args:
        attempt: how often it was begun.
        result: `Result.plain` with `files` in place of `paths`, once it has ended well or with failures.
        error: why it ended otherwise: `message`, `code` and where there are some `problems`.
        bytes: the size of its files.
        lease: of the worker that runs it; empty where the server does.
        worker: that has or had it, as `CALLER/NAME#INSTANCE`; empty for the server.
    """

    id: str
    caller: str
    graph: str
    title: str
    state: RunState
    priority: int
    submitted: float
    started: float = 0.0
    ended: float = 0.0
    attempt: int = 0
    parameters: Mapping[str, Any] = field(default_factory=dict)
    only: tuple[str, ...] = ()
    result: Mapping[str, Any] | None = None
    error: Mapping[str, Any] | None = None
    bytes: int = 0
    lease: str = ""
    worker: str = ""

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.state in ENDED

    def plain(self) -> dict[str, Any]:
        """The run as one JSON object, as the API gives it."""
        files = [
            {**one, "url": f"/api/runs/{self.id}/files/{one['name']}"} for one in (self.result or {}).get("files", ())
        ]
        return {
            "id": self.id,
            "graph": self.graph or None,
            "title": self.title,
            "state": self.state,
            "caller": self.caller,
            "priority": self.priority,
            "parameters": dict(self.parameters),
            "submitted": self.submitted,
            "started": self.started or None,
            "ended": self.ended or None,
            "attempt": self.attempt,
            "worker": shown_worker(self.worker) if self.worker else None,
            "result": {**self.result, "files": files} if self.result is not None else None,
            "error": self.error,
            "url": f"/api/runs/{self.id}",
        }


@dataclass(frozen=True)
class RunEnd:
    """How an attempt ended: `ServedRun` has what the members mean.

    Args:
        recipe: by which later runs are answered from this one (`earlier_runs`); empty where none is.
        replayed: the events that they are given then.
    """

    state: RunState
    result: Mapping[str, Any] | None = None
    error: Mapping[str, Any] | None = None
    recipe: str = ""
    replayed: Sequence[Mapping[str, Any]] = ()

    @property
    def files(self) -> list[FileRecord]:
        """The files that it gave."""
        found: list[FileRecord] = (self.result or {}).get("files", [])
        return found
