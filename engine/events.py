"""The events of a run, as values: the terminal, `--json` lines and programs read one stream (engine/EVENTS.md)."""

from __future__ import annotations

import math
import re
import time
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from weft.engine.verdict import Verdict


@dataclass(frozen=True)
class Event:
    """Something that happened; `plain` gives it as JSON values with its name under `event`."""

    def plain(self) -> dict[str, Any]:
        """The event as one JSON object."""
        return {"event": _event_name(type(self).__name__), **vars(self)}


@cache
def _event_name(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


Listener = Callable[[Event], None]
"""Gets the events of a run, one at a time, from the threads that run its nodes. It may submit graphs; it cannot run
them or wait for a run, since its own run waits for it. What it raises ends its run and is raised to the caller of that
run. Several runs call their listeners at the same time."""

Preview = Callable[[], bytes]
"""Makes a small PNG."""


@dataclass(frozen=True)
class BatchPreview:
    """A preview of a batch, which shows its first item; other items have one each.

    Args:
        of: makes that of an item, by its number from 0.
    """

    of: Callable[[int], bytes]

    def __call__(self) -> bytes:
        return self.of(0)


@dataclass(frozen=True)
class RunStarted(Event):
    """A plan begins to run: how many nodes will run, are cached, and are undecided until others have run."""

    run: int
    cached: int
    undecided: int


@dataclass(frozen=True)
class NodeStarted(Event):
    """A node begins to run."""

    node: str
    type: str


@dataclass(frozen=True)
class NodeProgress(Event):
    """A node has done `step` of `steps`; `preview` is a small PNG of the current state, or empty.

    Args:
        measured: numbers of the step by name: the `loss` of a training.
    """

    node: str
    type: str
    step: int
    steps: int
    preview: bytes = field(default=b"", repr=False)
    measured: Mapping[str, float] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """The event as one JSON object, the preview in base64 where there is one."""
        record = super().plain()
        preview, measured = b64encode(record.pop("preview")).decode(), record.pop("measured")
        return {**record, **({"measured": measured} if measured else {}), **({"preview": preview} if preview else {})}


@dataclass(frozen=True)
class NodeCached(Event):
    """A node's result was found in the store, in this tier."""

    node: str
    type: str
    tier: str


@dataclass(frozen=True)
class NodeFinished(Event):
    """A node has run; `peak` is the most bytes that tensors held on the device meanwhile, 0 where it is not counted."""

    node: str
    type: str
    seconds: float
    peak: int = 0

    def plain(self) -> dict[str, Any]:
        """The event as one JSON object, with the peak where it was counted."""
        return _with_peak(super().plain())


@dataclass(frozen=True)
class NodeFailed(Event):
    """A node raised."""

    node: str
    type: str
    error: str


@dataclass(frozen=True)
class NodeBlocked(Event):
    """A node cannot run because another one failed."""

    node: str
    type: str
    by: str


@dataclass(frozen=True)
class StoreDamaged(Event):
    """A stored result cannot be used and is computed again."""

    node: str
    type: str
    reason: str


@dataclass(frozen=True)
class FileChanged(Event):
    """A file changed while the node read it: what the node gave is dropped, and the run plans again."""

    node: str
    type: str
    path: str


@dataclass(frozen=True)
class MemoryRelieved(Event):
    """The device was short of memory, and something was done about it.

    Args:
        action: `evicted`: weights left the device; `streamed`: a network is sent to the device in parts, as they run;
            `retried`: the node ran out of memory and is called again; `foreseen`: calls like this one needed more than
            the device has, so it is called with less at once.
        what: the weights; how the node is called again.
        freed: bytes of the weights that left the device, or that stay on the host until they run.
    """

    node: str
    type: str
    action: str
    what: str
    freed: int


@dataclass(frozen=True)
class ArtifactWritten(Event):
    """A file was delivered; `new` is false where an equal file was there already."""

    node: str
    type: str
    path: str
    media_type: str
    new: bool
    verdict: Verdict | None = None

    def plain(self) -> dict[str, Any]:
        """The event as one JSON object, named `artifact`, with what was found out about the file under `safety`."""
        record = super().plain()
        verdict = record.pop("verdict")
        return {**record, "event": "artifact", **({"safety": verdict.plain()} if verdict else {})}


@dataclass(frozen=True)
class WarningGiven(Event):
    """Something about a node is worth knowing and does not keep it from running: a file holds what nothing reads.

    Args:
        node: the node's id.
        input: the input's name; empty where the notice came as the node ran.
        message: what was found.
        hint: what the user can do about it.
        code: its kind, in kebab case.
    """

    node: str
    input: str
    message: str
    hint: str
    code: str

    def plain(self) -> dict[str, Any]:
        """The event as one JSON object, named `warning`."""
        return {**super().plain(), "event": "warning"}


@dataclass(frozen=True)
class OutputGiven(Event):
    """The graph's output `name` was computed; one event for each, before `RunFinished`.

    Args:
        content: the value, in the form of `output_value.plain_output`: `value` for numbers, texts, booleans and lists
            of these; for others `type` and the likes of `shape` and `bytes`.
    """

    name: str
    content: Mapping[str, Any]

    def plain(self) -> dict[str, Any]:
        """The event as one JSON object, named `output`: `name` and the keys of `content`."""
        return {"event": "output", "name": self.name, **self.content}


@dataclass(frozen=True)
class NodeAudited(Event):
    """A node whose result came from the store was computed again.

    Args:
        differ: the outputs that differ from the stored ones, or the error that was raised.
    """

    node: str
    type: str
    differ: tuple[str, ...]


@dataclass(frozen=True)
class RunFinished(Event):
    """The run is over: `done`, `failed` or `cancelled`."""

    status: str
    ran: int
    cached: int
    seconds: float
    peak: int = 0

    def plain(self) -> dict[str, Any]:
        """The event as one JSON object, with the peak where it was counted."""
        return _with_peak(super().plain())


def _with_peak(record: dict[str, Any]) -> dict[str, Any]:
    return {name: one for name, one in record.items() if name != "peak" or one}


def ignore(event: Event) -> None:
    """Listen to nothing."""


@dataclass
class Previewed:
    """A listener that receives previews; for other listeners none is made.

    Args:
        listener: receives every event.
        per_second: the greatest rate of previews of one node.
    """

    listener: Listener
    per_second: float = 4.0
    _last: dict[str, float] = field(default_factory=dict, repr=False)

    def __call__(self, event: Event) -> None:
        """Pass an event on."""
        self.listener(event)

    def rendered(self, node: str, preview: Preview) -> bytes:
        """A preview of a node; empty where its last one was rendered a moment ago."""
        now = time.monotonic()
        if now - self._last.get(node, -math.inf) < 1 / self.per_second:
            return b""
        self._last[node] = now
        return preview()


def rendered(listener: Listener, node: str, preview: Preview | None) -> bytes:
    """A preview for a listener that receives them; empty for others."""
    return listener.rendered(node, preview) if preview and isinstance(listener, Previewed) else b""
