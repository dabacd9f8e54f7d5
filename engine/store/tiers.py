"""Several stores as one: a fast store over a lasting one, over one that machines share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from weft.engine.keys import Digest
from weft.engine.store import UNCLAIMED, Claim, Claimant, Computed, Fault, Note, Record, Stats, Store
from weft.engine.store.notes import N


@dataclass(frozen=True)
class Tiers(Store):
    """Asks each store in turn, and writes to all of them.

    Args:
        stores: the fastest first.
    """

    stores: tuple[Store, ...]

    def has(self, key: Digest) -> str | None:
        """The first tier that has the key."""
        return next((tier for store in self.stores if (tier := store.has(key))), None)

    def get(self, key: Digest) -> Record | None:
        """The record of the first tier that has it."""
        return next((record for store in self.stores if (record := store.get(key))), None)

    def put(self, key: Digest, outputs: Mapping[str, Computed], seconds: float, trace: Mapping[str, Any]) -> None:
        """Put into every tier."""
        for store in self.stores:
            store.put(key, outputs, seconds, trace)

    def drop(self, key: Digest) -> None:
        """Forget in every tier."""
        for store in self.stores:
            store.drop(key)

    def recall(self, key: Digest, kind: type[N]) -> N | None:
        """The note of the first tier that has one."""
        return next((note for store in self.stores if (note := store.recall(key, kind)) is not None), None)

    def remember(self, key: Digest, note: Note) -> None:
        """Keep a note in every tier."""
        for store in self.stores:
            store.remember(key, note)

    def claim(self, key: Digest, expected: float | None = None) -> Claim | None:
        """Claim in the first tier that has claims."""
        claims = (store.claim(key, expected) for store in self.stores)
        return next((claim for claim in claims if claim is not UNCLAIMED), UNCLAIMED)

    def claimed(self, key: Digest) -> Claimant | None:
        """Who computes a key, by the first tier that knows of somebody."""
        return next((claimant for store in self.stores if (claimant := store.claimed(key))), None)

    def keep_state(self, key: Digest, state: Mapping[str, Any]) -> None:
        """Keep the state of a call in every tier that keeps states."""
        for store in self.stores:
            store.keep_state(key, state)

    def kept_state(self, key: Digest) -> Mapping[str, Any] | None:
        """The state of a call, of the first tier that has it."""
        return next((state for store in self.stores if (state := store.kept_state(key)) is not None), None)

    def drop_state(self, key: Digest) -> None:
        """Forget the state of a call in every tier."""
        for store in self.stores:
            store.drop_state(key)

    def stats(self) -> Stats:
        """The sum over all tiers; what two of them hold counts twice."""
        return sum((store.stats() for store in self.stores), Stats())

    def verify(self) -> list[Fault]:
        """What is damaged in any tier."""
        return [fault for store in self.stores for fault in store.verify()]

    def prune(self, max_bytes: int | None = None, older_than: float | None = None) -> Stats:
        """Prune every tier to the same size and age."""
        return sum((store.prune(max_bytes, older_than) for store in self.stores), Stats())

    def check_writable(self) -> None:
        """Check every tier."""
        for store in self.stores:
            store.check_writable()

    def keep_within(self, max_bytes: int) -> None:
        """Keep every tier within the same size."""
        for store in self.stores:
            store.keep_within(max_bytes)
