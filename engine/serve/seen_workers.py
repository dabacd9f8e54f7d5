"""Workers that take runs from the queue of a server: what each says of itself and can run, and who was seen last."""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from weft.engine.running.delivery import versions
from weft.engine.serve.served_run import shown_worker
from weft.engine.spec.catalog import Catalog
from weft.engine.spec.node import NodeType

SEEN_SECONDS = 60.0
"""After which a worker that asks for nothing is not listed any more."""

MOST_SEEN = 1000


@dataclass(frozen=True)
class WorkerRecord:
    """What a worker says of itself with each request for a run.

    Args:
        caller: whose token it has.
        name: of its machine, for people.
        instance: of its process; what it cannot run is not offered to this one again.
        versions: of Weft and of the libraries that pictures depend on.
        types: its node types with what their keys are made of (`type_version`).
        devices: that it runs on.
        known: whether it asks only for what an earlier run may have the result of, to plan that and run nothing: so
            such a run waits for no device.
    """

    caller: str
    name: str
    instance: str
    versions: Mapping[str, str]
    types: Mapping[str, str]
    devices: tuple[str, ...] = ()
    known: bool = False

    @property
    def holder(self) -> str:
        """`CALLER/NAME#INSTANCE`: what the queue has of it."""
        return f"{self.caller}/{self.name}#{self.instance}"


@dataclass(eq=False)
class _Seen:
    worker: WorkerRecord
    last: float
    ends: Counter[str] = field(default_factory=Counter)


@dataclass(eq=False)
class SeenWorkers:
    """The workers that were seen last, by what the queue has of them (`WorkerRecord.holder`)."""

    _seen: OrderedDict[str, _Seen] = field(default_factory=OrderedDict, repr=False)

    def asks(self, worker: WorkerRecord) -> None:
        """A worker asks for a run."""
        now = time.monotonic()
        seen = self._seen.pop(worker.holder, None) or _Seen(worker, now)
        seen.worker, seen.last = worker, now
        self._seen[worker.holder] = seen
        while len(self._seen) > MOST_SEEN:
            self._seen.popitem(last=False)

    def works(self, holder: str) -> None:
        """A worker says something of a run."""
        if seen := self._seen.get(holder):
            seen.last = time.monotonic()

    def ends(self, holder: str, how: str) -> None:
        """A lease of a worker has ended."""
        if seen := self._seen.get(holder):
            seen.ends[how] += 1

    def listed(self, runs: Iterable[tuple[str, str]]) -> list[dict[str, Any]]:
        """Who was seen in the last minute, or has a run.

        Args:
            runs: pairs of a holder and the id of a run.
        """
        now = time.monotonic()
        found: dict[str, dict[str, Any]] = {
            holder: {"devices": list(seen.worker.devices), "ended": dict(seen.ends), "runs": []}
            for holder, seen in list(self._seen.items())
            if now - seen.last <= SEEN_SECONDS
        }
        for holder, run in runs:
            found.setdefault(holder, {"devices": [], "ended": {}, "runs": []})["runs"].append(run)
        return [{"name": shown_worker(holder), **one} for holder, one in sorted(found.items())]


def differences(worker: WorkerRecord) -> list[str]:
    """In what versions a worker differs from this server; one that differs is given nothing."""
    own = {name: _public(one) for name, one in versions().items()}
    given = {name: _public(one) for name, one in worker.versions.items()}
    return [
        f"{name} is {given.get(name, 'not there')} with the worker and {own.get(name, 'not there')} with the server"
        for name in sorted(own.keys() | given.keys())
        if given.get(name) != own.get(name)
    ]


def _public(version: str) -> str:
    """A version without what says how it was built: torch has `+cpu` or `+cu121` there."""
    return version.partition("+")[0]


def node_types(content: bytes) -> frozenset[str]:
    """The node types that a graph file names, its subgraphs with it."""
    found, left = set[str](), [orjson.loads(content)]
    while left:
        graph = left.pop()
        found |= {str(node["type"]) for node in graph.get("nodes", {}).values()}
        left += graph.get("graphs", {}).values()
    return frozenset(name for name in found if ":" not in name)


def unfit(names: Iterable[str], catalog: Catalog, worker: WorkerRecord) -> str:
    """Why a worker cannot run a graph of some node types; empty where it can."""
    for name in sorted(names):
        own = type_version(catalog[name]) if name in catalog else None
        there = worker.types.get(name)
        if there != own:
            return f"it has the node type {name} {_version(there)}, the server {_version(own)}"
    return ""


def type_version(type: NodeType) -> str:
    """What a node type's keys are made of, its name aside: its version, and of one of a file the digest of that."""
    return f"{type.version}+{type.origin[:16]}" if type.origin else str(type.version)


def _version(text: str | None) -> str:
    return f"in version {text}" if text else "not"
