"""A run that goes on in a thread: its events as they come, its result when it is there, cancel at any time.

A process that ends cancels the runs that still go on, and waits for them for a while (`weft.engine.process_end`).
Results are in the store whole or not at all.

`asyncio` is imported where it is used: it takes a thirtieth of the time of `weft check`, which submits nothing.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from concurrent.futures import Future
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from weft.engine.errors import described
from weft.engine.events import Event, Listener
from weft.engine.process_end import start_thread
from weft.engine.running.emitter import leave_listener, raise_if_in_listener
from weft.engine.running.result import Result

Work = Callable[[Listener, Callable[[], bool]], Result]
"""The run: it gives its events to a listener and asks whether it was cancelled."""


@dataclass(eq=False)
class Submission:
    """A run under way; `Engine.submit` makes it.

    Iterate over it for its events, with `for` or `async for`: an iteration gives all of them, from the first to the
    last, and waits for those that are still to come; several may go on at once. None is lost: an iteration that was
    broken off, by `break` or because its task was cancelled, is taken up by the next one, and an iterator
    (`events = aiter(submission)`) goes on where it was after a wait for its next event was cancelled. A listener that
    joins late and must have all events takes `listen(0)`. `await` the submission, or call `result`, for its result.
    """

    _work: Work = field(repr=False)
    _future: Future[Result] = field(default_factory=Future, repr=False)
    _events: list[Event] = field(default_factory=list, repr=False)
    _ended: bool = field(default=False, repr=False)
    _changed: threading.Condition = field(default_factory=threading.Condition, repr=False)
    _asked: threading.Event = field(default_factory=threading.Event, repr=False)
    _wake: list[Callable[[], object]] = field(default_factory=list, repr=False)
    _broken_off: list[int] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        self._future.set_running_or_notify_cancel()  # so that a task which awaits the future cannot cancel it
        # In a copy of the context, so that a node which submits a run gets its turns on the device within its own one.
        run = partial(copy_context().run, self._run)
        start_thread(run, "weft submission", self.cancel)

    def _run(self) -> None:
        import asyncio

        leave_listener()
        try:
            self._future.set_result(self._work(self._put, self._asked.is_set))
        except (StopIteration, asyncio.CancelledError) as fault:
            # These mean something else to event loops: whoever awaits the result would wait for ever, or be cancelled.
            wrapped = RuntimeError(f"the run ended by {described(fault)}")
            wrapped.__cause__ = fault
            self._future.set_exception(wrapped)
        except BaseException as fault:
            self._future.set_exception(fault)
        finally:
            self._put()

    def _put(self, *new: Event) -> None:
        """Add an event, or none where there are no more."""
        with self._changed:
            if self._ended:
                return  # a thread that a node left behind may still report progress
            self._events += new
            self._ended = not new
            self._changed.notify_all()
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
            InputError: in a listener, which cannot wait for a run (`inside-listener`).
            Exception: what the listener of the run raised.
        """
        if not self.done:
            raise_if_in_listener("wait for a run")
        return self._future.result(timeout)

    def __await__(self) -> Generator[Any, None, Result]:
        """Wait for the result without blocking the event loop. Cancelling the wait does not cancel the run."""
        import asyncio

        return asyncio.wrap_future(self._future).__await__()

    def __iter__(self) -> Iterator[Event]:
        return self.listen(self._taken_up())

    def __aiter__(self) -> AsyncIterator[Event]:
        return self.listen(self._taken_up())

    def listen(self, first: int = 0) -> Listening:
        """An iterator over the events, for `for` and `async for`.

        Args:
            first: how many events to leave out.
        """
        return Listening(self, first)

    def _taken_up(self) -> int:
        """How many events were given by the iteration that was broken off first; 0 where none was."""
        with self._changed:
            return self._broken_off.pop(0) if self._broken_off else 0


@dataclass(eq=False)
class Listening(AsyncIterator[Event], Iterator[Event]):
    """The events of a submission, for one listener.

    No generator: a generator is over once a wait for its next event was cancelled, by `asyncio.wait_for` for instance.
    Here the wait may begin again, and the event is given then. No thread waits for the events in an event loop: a few
    threads serve a whole loop, and many runs may be listened to.
    """

    submission: Submission
    given: int = 0
    _over: bool = False

    def __del__(self) -> None:
        if self.given and not self._over:
            self.submission._broken_off.append(self.given)  # nobody can go on with this one; the next one does

    def __next__(self) -> Event:
        run = self.submission
        if not run._ended:
            raise_if_in_listener("wait for the events of a run")
        with run._changed:
            while self.given == len(run._events) and not run._ended:
                run._changed.wait()
        if (event := self._next()) is not None:
            return event
        self._over = True
        raise StopIteration

    async def __anext__(self) -> Event:
        import asyncio

        run = self.submission
        if (event := self._next()) is not None:
            return event
        arrived = asyncio.Event()
        wake = partial(asyncio.get_running_loop().call_soon_threadsafe, arrived.set)
        run._wake.append(wake)
        try:
            while True:
                ended = run._ended  # looked at first: what comes in between is given before the end
                if (event := self._next()) is not None:
                    return event
                if ended:
                    self._over = True
                    raise StopAsyncIteration
                await arrived.wait()
                arrived.clear()
        finally:
            run._wake.remove(wake)

    def _next(self) -> Event | None:
        """The next event where it is there; it counts as given, so nothing may be awaited before it is returned."""
        if self.given >= len(self.submission._events):
            return None
        self.given += 1
        return self.submission._events[self.given - 1]
