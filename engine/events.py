"""What happens during a run, as values: the terminal, `--json` lines and programs read one stream."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Event:
    """Something that happened; `plain` gives it as JSON values with its name under `event`."""

    def plain(self) -> dict[str, Any]:
        """The event as one JSON object."""
        name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(self).__name__).lower()
        return {"event": name, **asdict(self)}


Listener = Callable[[Event], None]


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
    """A node has done `step` of `steps`."""

    node: str
    type: str
    step: int
    steps: int


@dataclass(frozen=True)
class NodeCached(Event):
    """A node's result is in the store, in this tier."""

    node: str
    type: str
    tier: str


@dataclass(frozen=True)
class NodeFinished(Event):
    """A node has run."""

    node: str
    type: str
    seconds: float


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
class ArtifactWritten(Event):
    """A file was delivered; `new` is false where an equal file stood there already."""

    node: str
    type: str
    path: str
    media_type: str
    new: bool

    def plain(self) -> dict[str, Any]:
        """The event as one JSON object, named `artifact`."""
        return {**super().plain(), "event": "artifact"}


@dataclass(frozen=True)
class RunFinished(Event):
    """The run is over: `done`, `failed` or `cancelled`."""

    status: str
    ran: int
    cached: int
    seconds: float


def ignore(event: Event) -> None:
    """Listen to nothing."""
