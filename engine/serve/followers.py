"""How many answers are held open: streams of events, sockets, and requests that wait for the end of a run.

Each takes a connection, and some work for each event. So a caller may have some at a time, and all callers together.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import anyio
from starlette.types import Receive

from weft.engine.serve.answers import Refused, retry_later
from weft.engine.serve.callers import Caller

ALWAYS = 10
"""Requests that a caller may have follow whatever the others do, so that some cannot keep another one out."""

AGAIN = 5.0
"""Seconds after which one who may not follow may try again."""


@dataclass(eq=False)
class Followers:
    """Counts who follows.

    Args:
        most: followers of all callers at a time.
    """

    most: int = 1000
    _counts: Counter[str] = field(default_factory=Counter, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @contextmanager
    def place(self, caller: Caller) -> Iterator[None]:
        """Count one more follower while the block runs.

        Raises:
            Refused: 429 where there are too many.
        """
        with self._lock:
            own, most = self._counts[caller.name], caller.quota.following
            if own >= most:
                raise _too_many(f"{own} of your requests follow runs or wait, at most {most} may")
            if own >= ALWAYS and (all_of_them := self._counts.total()) >= self.most:
                raise _too_many(f"{all_of_them} requests follow runs or wait, at most {self.most} may")
            self._counts[caller.name] += 1
        try:
            yield
        finally:
            with self._lock:
                self._counts[caller.name] -= 1
                self._counts += Counter[str]()  # those with none are dropped

    @property
    def count(self) -> int:
        """How many there are now."""
        return self._counts.total()


async def while_connected(receive: Receive, work: Awaitable[object]) -> None:
    """Do some work, but not on for one who has left, whose place it would keep."""
    async with anyio.create_task_group() as group:

        async def left() -> None:
            while (await receive())["type"] not in ("http.disconnect", "websocket.disconnect"):
                pass
            group.cancel_scope.cancel()

        group.start_soon(left)
        await work
        group.cancel_scope.cancel()


def _too_many(reason: str) -> Refused:
    refused = retry_later(429, "too-many-followers", reason, AGAIN)
    refused.headers["connection"] = "close"  # those who are refused in thousands would keep connections from others
    return refused
