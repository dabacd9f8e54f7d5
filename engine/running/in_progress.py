"""The keys that runs of one engine compute right now, so that two runs that want one result do not both compute it.

The store's claims do the same between processes. A run that finds a key here leaves the node for later, holding
nothing, and takes the result from the store. A run inside of a node never waits: its node may hold what the other one
waits for.

Every node passes here, so nothing is locked but where somebody waits: single operations on dicts are atomic.
"""

from __future__ import annotations

import threading

from weft.engine.keys import Digest

REMEMBERED = 10_000
"""How many finished keys are remembered, at least. A key that is forgotten may be computed twice."""


class InProgress:
    """The content keys that the runs of one engine compute, and those that they finished lately."""

    def __init__(self) -> None:
        self._running: dict[Digest, object] = {}
        self._latest: dict[Digest, None] = {}
        self._older: dict[Digest, None] = {}
        self._waiting = 0
        self._changed = threading.Condition(threading.Lock())
        self.count = 0
        """A number that changes when a key is finished."""

    def begin(self, key: Digest) -> bool:
        """Register a key; False where another run computes it. `end` or `abandon` must follow."""
        mine = object()
        return self._running.setdefault(key, mine) is mine

    def end(self, key: Digest) -> None:
        """Report that the result of a key is in the store, or that it could not be computed."""
        if len(self._latest) >= REMEMBERED:
            self._older, self._latest = self._latest, {}
        self._latest[key] = None
        del self._running[key]
        self.count += 1
        if self._waiting:  # who begins to wait now sees the new count
            with self._changed:
                self._changed.notify_all()

    def abandon(self, key: Digest) -> None:
        """Report that a key is not computed here after all."""
        del self._running[key]

    def finished(self, key: Digest) -> bool:
        """Whether a run has computed the key lately: plans that were made before do not know that the store has it."""
        return key in self._latest or key in self._older

    def wait(self, count: int, timeout: float) -> None:
        """Wait until `count` has changed, for `timeout` seconds at the most."""
        with self._changed:
            self._waiting += 1
            try:
                self._changed.wait_for(lambda: self.count != count, timeout)
            finally:
                self._waiting -= 1
