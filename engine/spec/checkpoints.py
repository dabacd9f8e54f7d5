"""How far a call has come, kept in the store while it goes on, so that one that is stopped continues from there."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from weft.engine.keys import Digest
from weft.engine.store.protocol import NullStore, Store

State = Callable[[], Mapping[str, Any]]
"""Makes the state of a call: plain values, tensors, lists and dicts of these."""

NO_KEY = Digest("")

COST = 20
"""A state is kept at most so often that keeping it takes one part in so many of the time."""


@dataclass
class Checkpoints:
    """The states of one call.

    Args:
        store: keeps them, under the content key of the call.
        every: seconds from one state to the next.
        used: whether there may be a state in the store.
    """

    store: Store = field(default_factory=NullStore)
    key: Digest = NO_KEY
    every: float = 60.0
    used: bool = False
    _due: float = field(default_factory=time.monotonic)
    _latest: State | None = None

    def found(self) -> Mapping[str, Any] | None:
        """The state of a call of this key that did not end."""
        state = self.store.kept_state(self.key) if self.store.keeps else None
        self.used = self.used or state is not None
        self._due = time.monotonic() + self.every
        return state

    def reached(self, state: State) -> None:
        """Keep a state where the last one is old enough.

        Args:
            state: makes the state; called where it is kept.
        """
        self._latest = state
        if time.monotonic() >= self._due:
            self.keep()

    def keep(self) -> None:
        """Keep the state that was reached last, however young the one before is; nothing where there is none."""
        if self._latest is None or not self.store.keeps:
            return
        started, self.used = time.monotonic(), True
        self.store.keep_state(self.key, self._latest())
        ended = time.monotonic()
        self._due = ended + max(self.every, COST * (ended - started))

    def drop(self) -> None:
        """Forget the state, since the call has ended."""
        if self.used:
            self.store.drop_state(self.key)
