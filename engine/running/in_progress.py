"""The keys that runs of one engine compute right now, so that two runs that want one result do not both compute it.

The store's claims do the same between processes. A run that finds a key here leaves the node for later, holding
nothing, and takes the result from the store. A run inside of a node never waits: its node may hold what the other one
waits for.
"""

from __future__ import annotations

import threading

from weft.engine.keys import Digest

REMEMBERED = 10_000
"""How many finished keys are remembered. A key that is forgotten may be computed twice."""


class InProgress:
    """The content keys that the runs of one engine compute, and those that they finished lately."""

    def __init__(self) -> None:
        self._running: set[Digest] = set()
        self._finished: dict[Digest, None] = {}
        self._changed = threading.Condition(threading.Lock())
        self.count = 0
        """How many keys were finished so far."""

    def begin(self, key: Digest) -> bool:
        """Register a key; False where another run computes it. `end` or `abandon` must follow."""
        with self._changed:
            if key in self._running:
                return False
            self._running.add(key)
            return True

    def end(self, key: Digest) -> None:
        """Report that the result of a key is in the store, or that it could not be computed."""
        with self._changed:
            self._running.discard(key)
            self._finished[key] = None
            if len(self._finished) > REMEMBERED:
                del self._finished[next(iter(self._finished))]
            self.count += 1
            self._changed.notify_all()

    def abandon(self, key: Digest) -> None:
        """Report that a key is not computed here after all."""
        with self._changed:
            self._running.discard(key)

    def finished(self, key: Digest) -> bool:
        """Whether a run has computed the key lately: plans that were made before do not know that the store has it."""
        return key in self._finished

    def wait(self, count: int, timeout: float) -> None:
        """Wait until more than `count` keys are finished, for `timeout` seconds at the most."""
        with self._changed:
            self._changed.wait_for(lambda: self.count > count, timeout)
