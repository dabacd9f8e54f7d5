"""Wakes those who wait for something to change: tasks of any event loop, and threads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress


class Bell:
    """What any thread rings, and any number of tasks and threads hear."""

    def __init__(self) -> None:
        self._wake: set[Callable[[], object]] = set()

    def ring(self) -> None:
        """Wake everyone who waits."""
        for wake in tuple(self._wake):
            with suppress(RuntimeError):  # its event loop is closed
                wake()

    @contextmanager
    def calling(self, wake: Callable[[], object]) -> Iterator[None]:
        """While the block runs, each ring calls a function, in the thread that rings."""
        self._wake.add(wake)
        try:
            yield
        finally:
            self._wake.discard(wake)

    @contextmanager
    def heard(self) -> Iterator[asyncio.Event]:
        """An event of the running loop that each ring sets, while the block runs."""
        arrived, wake = asyncio.Event(), asyncio.get_running_loop().call_soon_threadsafe

        def ring() -> None:
            if not arrived.is_set():  # who has heard a ring clears it before they look, so that one is enough
                wake(arrived.set)

        with self.calling(ring):
            yield arrived
