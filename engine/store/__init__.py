"""Where results are kept: a store has `has`, `get` and `put`, and stores compose (`Tiers`).

A `Record` is what one call gave: for each output a `Handle` that loads its value only when somebody needs it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from weft.engine.keys import Digest

__all__ = ["Damaged", "Handle", "Nowhere", "Record", "Store"]


class Damaged(Exception):  # noqa: N818 - a state of a record rather than a fault of the caller
    """A stored record cannot be used: a blob is missing or its bytes are not what they were."""

    def __init__(self, key: Digest, reason: str) -> None:
        super().__init__(reason)
        self.key = key
        self.reason = reason


@dataclass(frozen=True)
class Handle:
    """An output: its value comes when asked for."""

    load: Callable[[], Any]


@dataclass(frozen=True)
class Record:
    """What one call gave.

    Args:
        outputs: by name.
        seconds: how long it ran.
        tier: the store that it came from.
    """

    outputs: Mapping[str, Handle]
    seconds: float
    tier: str = ""


class Store(Protocol):
    """Records by recipe key."""

    def has(self, key: Digest) -> str | None:
        """The tier that has the key, or None; raises `Damaged` where what it has cannot be used."""

    def get(self, key: Digest) -> Record | None:
        """The record, or None; its values may still raise `Damaged` when they are loaded."""

    def put(self, key: Digest, values: Mapping[str, Any], seconds: float, trace: Mapping[str, Any]) -> None:
        """Keep what a call gave. `trace` says what is not in the key: node type, device, versions."""

    def drop(self, key: Digest) -> None:
        """Forget a key, after its record was found damaged."""


class Nowhere:
    """A store that keeps nothing."""

    def has(self, key: Digest) -> str | None:
        """Never."""
        return None

    def get(self, key: Digest) -> Record | None:
        """Nothing."""
        return None

    def put(self, key: Digest, values: Mapping[str, Any], seconds: float, trace: Mapping[str, Any]) -> None:
        """Nothing is kept."""

    def drop(self, key: Digest) -> None:
        """Nothing to forget."""
