"""The protocol of stores: what the engine asks of whatever keeps its results.

An author of a store subclasses `Store`, writes `has`, `get`, `put` and `drop`, and gives an instance to
`Engine(store=...)`, alone or as one of `Tiers`. Everything else has a default: a store that remembers no notes, gives
every claim and is never pruned works, and is merely slower to plan.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from weft.engine.keys import Digest
from weft.engine.store.claims import UNCLAIMED, Claim, Claimant
from weft.engine.store.notes import N, Note
from weft.engine.store.records import Computed, Record


@dataclass(frozen=True)
class Stats:
    """How much a store holds, or how much was removed from it: counts, and bytes in total."""

    records: int = 0
    blobs: int = 0
    notes: int = 0
    bytes: int = 0

    def __add__(self, other: Stats) -> Stats:
        return Stats(
            self.records + other.records,
            self.blobs + other.blobs,
            self.notes + other.notes,
            self.bytes + other.bytes,
        )

    def __sub__(self, other: Stats) -> Stats:
        return self + Stats(-other.records, -other.blobs, -other.notes, -other.bytes)


@dataclass(frozen=True)
class Fault:
    """Something in a store that is damaged.

    Args:
        place: where it is: a path, a URL, or a key.
        reason: what is wrong with it.
    """

    place: str
    reason: str


class Store(Protocol):
    """Records by content key, and notes by keys of other kinds.

    Threads: the engine calls every method from several threads at once, of one run and of others, and so are the
    `load` functions of the handles that `get` returns. Several processes may share what lies underneath.

    Atomicity: a reader sees a whole record or none, and a whole note or the one before it. Equal keys mean equal
    content, so where two calls put one key at once either may win. A store may forget anything at any moment; that
    costs time and never a wrong result.

    Errors: `CorruptRecord` (from `has`, `get` and `Handle.load`) for a record that is damaged or partly missing; the
    run then calls `drop` and computes the record again. `StoreError` (from the methods that write) where nothing
    can be written; the run goes on without, and warns of it once (`weft.engine.running.run_store`). A store that others
    may not reach should rather report that once, and then have nothing and keep nothing.
    """

    @property
    def keeps(self) -> bool:
        """Whether anything that is put can be found again; False where every run computes everything."""
        return True

    @abstractmethod
    def has(self, key: Digest) -> str | None:
        """The name of the tier that has the record under a content key, as plans print it; None on a miss.

        Raises:
            CorruptRecord: where there is a record that cannot be used.
        """

    @abstractmethod
    def get(self, key: Digest) -> Record | None:
        """The record under a content key; None on a miss. Values need not be read before `Handle.load`.

        Raises:
            CorruptRecord: where there is a record that cannot be used.
        """

    @abstractmethod
    def put(self, key: Digest, outputs: Mapping[str, Computed], seconds: float, trace: Mapping[str, Any]) -> None:
        """Keep a record, or decide not to. Called once a node has run, before the key is remembered or released.

        Args:
            outputs: by name; `codec.flatten` turns a value into JSON, tensors and bytes.
            seconds: that the call took, which is what a miss will cost.
            trace: facts that are not in the key, as JSON values: node type, device, versions; under `partial` the
                key of the cost note that is to be kept as long as the record.

        Raises:
            StoreError: where it cannot be written.
        """

    @abstractmethod
    def drop(self, key: Digest) -> None:
        """Forget a record that was found damaged; nothing happens where there is none.

        Raises:
            StoreError: where it cannot be removed.
        """

    def recall(self, key: Digest, kind: type[N]) -> N | None:
        """The note of a type under a key; None where there is none, a damaged one, or one of another type."""
        return None

    def remember(self, key: Digest, note: Note) -> None:
        """Keep a note under a key, in place of an older one, or decide not to.

        Raises:
            StoreError: where it cannot be written.
        """
        return

    def claim(self, key: Digest, expected: float | None = None) -> Claim | None:
        """Permission to compute a key; None while another process computes it, so that the caller waits for that.

        Claims are advice: two that compute one key lose time and nothing else.

        Args:
            expected: the seconds that the call is expected to take, after which a claim may be ignored.
        """
        return UNCLAIMED

    def claimed(self, key: Digest) -> Claimant | None:
        """Who computes a key; where this is None, `claim` succeeds."""
        return None

    def keep_state(self, key: Digest, state: Mapping[str, Any]) -> None:
        """Keep how far the call of a key has come, in place of an older state, or decide not to.

        Args:
            state: what values on links may consist of: plain values, tensors, lists and dicts of these.

        Raises:
            StoreError: where it cannot be written.
        """
        return

    def kept_state(self, key: Digest) -> Mapping[str, Any] | None:
        """The state that was kept last for a call that has not ended; None where there is none, or a damaged one."""
        return None

    def drop_state(self, key: Digest) -> None:
        """Forget the state of a call, since it has ended; nothing happens where there is none.

        Raises:
            StoreError: where it cannot be removed.
        """
        return

    def stats(self) -> Stats:
        """What the store holds; zeros from a store that cannot count."""
        return Stats()

    def verify(self) -> list[Fault]:
        """Read everything, and list what is damaged; unfinished writes do not count. Nothing is changed."""
        return []

    def prune(self, max_bytes: int | None = None, older_than: float | None = None) -> Stats:
        """Remove records, the least recently used first, and whatever nothing refers to any more.

        Safe while runs use the store: what they lose is computed again.

        Args:
            max_bytes: remove until at most this many bytes are held.
            older_than: remove what was not used for this many seconds.

        Returns:
            What was removed.
        """
        return Stats()

    def check_writable(self) -> None:
        """Check that results can be kept, before the work that gives them.

        Raises:
            StoreError: where they cannot.
        """
        return

    def keep_within(self, max_bytes: int) -> None:
        """Prune if the store outgrew a size; called after each run, so it has to be cheap where there is room.

        A store with a limit of its own, or that others own too, does nothing.
        """
        return


class NullStore(Store):
    """A store that keeps nothing."""

    @property
    def keeps(self) -> bool:
        """Nothing can be found again."""
        return False

    def has(self, key: Digest) -> str | None:
        """Always a miss."""
        return None

    def get(self, key: Digest) -> Record | None:
        """Always a miss."""
        return None

    def put(self, key: Digest, outputs: Mapping[str, Computed], seconds: float, trace: Mapping[str, Any]) -> None:
        """Keep nothing."""

    def drop(self, key: Digest) -> None:
        """There is nothing to forget."""
