"""A run that goes on in a thread: its events as they come, its result when it is there, cancel at any time.

The threads are daemons, which Python would stop in the middle of a node when the process ends. So `_end_all` asks the
runs that still go on to stop, and waits for them, before that: results are in the store whole or not at all.
"""

from __future__ import annotations

import asyncio
import atexit
import threading
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from concurrent.futures import Future
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass, field
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

from weft.engine.events import Event, Listener
from weft.engine.running.result import Result

AT_EXIT = 10.0
"""Seconds that the end of a process waits for its runs; they look in each step of a node whether they should stop."""

Work = Callable[[Listener, Callable[[], bool]], Result]
"""The run: it gives its events to a listener and asks whether it was cancelled."""


@dataclass(eq=False)
class Submission:
    """A run under way; `Engine.submit` makes it.

    Iterate over it for its events, with `for` or `async for`, from the first to the last, once. `await` it, or call
    `result`, for its result.
    """

    _work: Work = field(repr=False)
    _future: Future[Result] = field(default_factory=Future, repr=False)
    _events: SimpleQueue[Event | None] = field(default_factory=SimpleQueue, repr=False)
    _asked: threading.Event = field(default_factory=threading.Event, repr=False)
    _wake: list[Callable[[], object]] = field(default_factory=list, repr=False)
    _thread: threading.Thread = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._future.set_running_or_notify_cancel()  # so that a task which awaits the future cannot cancel it
        # In a copy of the context, so that a node which submits a run gets its turns on the device within its own one.
        run = partial(copy_context().run, self._run)
        self._thread = threading.Thread(target=run, name="weft submission", daemon=True)
        _UNDER_WAY[self] = None
        self._thread.start()

    def _run(self) -> None:
        try:
            self._future.set_result(self._work(self._put, self._asked.is_set))
        except BaseException as fault:
            self._future.set_exception(fault)
        finally:
            self._put(None)
            _UNDER_WAY.pop(self, None)

    def _put(self, event: Event | None) -> None:
        self._events.put(event)
        for wake in self._wake.copy():
            with suppress(RuntimeError):  # its event loop is closed
                wake()

    def cancel(self) -> None:
        """Ask the run to stop after its present step; its result then has the status `cancelled`."""
        self._asked.set()

    @property
    def done(self) -> bool:
        """Whether the result is there."""
        return self._future.done()

    def __repr__(self) -> str:
        if not self.done:
            return "<Submission: running>"
        fault = self._future.exception()
        return f"<Submission: {type(fault).__name__ if fault else self._future.result().summary}>"

    def result(self, timeout: float | None = None) -> Result:
        """Wait for the result of the run; failures of nodes are in it.

        Args:
            timeout: seconds to wait at the most.

        Raises:
            GraphError: with every problem of the graph.
            TimeoutError: where it is not there in time.
        """
        return self._future.result(timeout)

    def __await__(self) -> Generator[Any, None, Result]:
        """Wait for the result without blocking the event loop. Cancelling the wait does not cancel the run."""
        return asyncio.wrap_future(self._future).__await__()

    def __iter__(self) -> Iterator[Event]:
        return iter(self._events.get, None)

    async def __aiter__(self) -> AsyncIterator[Event]:
        # No thread waits for the queue: a few threads serve a whole event loop, and many runs may be listened to.
        arrived = asyncio.Event()
        wake = partial(asyncio.get_running_loop().call_soon_threadsafe, arrived.set)
        self._wake.append(wake)
        try:
            while True:
                arrived.clear()
                with suppress(Empty):
                    while (event := self._events.get_nowait()) is not None:
                        yield event
                    return
                await arrived.wait()
        finally:
            self._wake.remove(wake)


_UNDER_WAY: dict[Submission, None] = {}
"""The runs that go on: a dict, since threads add and remove while it is listed."""


def _end_all() -> None:
    """Ask all runs to stop, and wait for them for a while."""
    end = time.monotonic() + AT_EXIT
    under_way = list(_UNDER_WAY)
    for submission in under_way:
        submission.cancel()
    for submission in under_way:
        submission._thread.join(max(0.0, end - time.monotonic()))


# Thread pools are joined before `atexit` handlers are called, and a run may wait in one: it must be cancelled before.
# `_register_atexit` is what `concurrent.futures` itself uses to be called in time.
getattr(threading, "_register_atexit", atexit.register)(_end_all)
