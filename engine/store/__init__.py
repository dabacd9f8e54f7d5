"""Where results are kept: a store has `has`, `get` and `put`, and stores compose (`Tiers`).

A `Record` is what one call gave, under its content key: for each output the digest of its value, and the value when
somebody needs it. Beside records a store remembers short notes: which content key a recipe key led to, and how long a
node took. A claim says that a key is being computed right now.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from weft.engine.errors import CorruptRecord
from weft.engine.keys import Digest
from weft.engine.store.claims import UNCLAIMED, Claim, Claimant

__all__ = ["UNCLAIMED", "Claim", "Claimant", "Computed", "CorruptRecord", "Handle", "NullStore", "Record", "Store"]


@dataclass(frozen=True)
class Computed:
    """An output as a node gave it: its value and the digest of it."""

    value: Any
    digest: Digest

    def load(self) -> Any:
        """The value, as a `Handle` gives it."""
        return self.value


@dataclass(frozen=True)
class Handle:
    """An output as a store has it: the digest of its value, and the value when asked for."""

    digest: Digest
    load: Callable[[], Any]


@dataclass(frozen=True)
class Record:
    """What one call gave.

    Args:
        outputs: by name.
        seconds: how long it ran.
        tier: the store that it came from.
    """

    outputs: Mapping[str, Handle | Computed]
    seconds: float
    tier: str = ""


class Store(Protocol):
    """Records by content key, and notes by any key."""

    def has(self, key: Digest) -> str | None:
        """The tier that has the record, or None; raises `CorruptRecord` where what it has cannot be used."""

    def get(self, key: Digest) -> Record | None:
        """The record, or None; `CorruptRecord` where it cannot be used, from here or when a value is loaded."""

    def put(self, key: Digest, outputs: Mapping[str, Computed], seconds: float, trace: Mapping[str, Any]) -> None:
        """Keep what a call gave. `trace` says what is not in the key: node type, device, versions."""

    def drop(self, key: Digest) -> None:
        """Forget a record, after it was found damaged."""

    def recall(self, key: Digest) -> str | None:
        """The note under a key, or None."""

    def remember(self, key: Digest, note: str) -> None:
        """Keep a short note under a key, instead of an older one."""

    def claim(self, key: Digest, expected: float | None = None) -> Claim | None:
        """Leave to compute a key, which is expected to take so many seconds; None where it is being computed."""

    def claimed(self, key: Digest) -> Claimant | None:
        """Who computes a key, or None; `claim` gives leave as soon as this is None."""


class NullStore:
    """A store that keeps nothing."""

    def has(self, key: Digest) -> str | None:
        """Never."""
        return None

    def get(self, key: Digest) -> Record | None:
        """Nothing."""
        return None

    def put(self, key: Digest, outputs: Mapping[str, Computed], seconds: float, trace: Mapping[str, Any]) -> None:
        """Nothing is kept."""

    def drop(self, key: Digest) -> None:
        """Nothing to forget."""

    def recall(self, key: Digest) -> str | None:
        """Nothing."""
        return None

    def remember(self, key: Digest, note: str) -> None:
        """Nothing is kept."""

    def claim(self, key: Digest, expected: float | None = None) -> Claim | None:
        """Always: nobody else could use the result."""
        return UNCLAIMED

    def claimed(self, key: Digest) -> Claimant | None:
        """Nobody."""
        return None
