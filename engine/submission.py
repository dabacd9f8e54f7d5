"""A run that goes on in a thread: its events as they come, its result when it is there, cancel at any time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import SimpleQueue

from weft.engine.events import Event, Listener
from weft.engine.running.result import Result

Work = Callable[[Listener, Callable[[], bool]], Result]
"""What is run: it tells a listener and asks whether it was cancelled."""


@dataclass
class Submission:
    """A run under way; `Engine.submit` makes it.

    Iterate over it for its events, with `for` or `async for`, from the first to the last, once.
    """

    _work: Work = field(repr=False)
    _future: Future[Result] = field(default_factory=Future, repr=False)
    _events: SimpleQueue[Event | None] = field(default_factory=SimpleQueue, repr=False)
    _asked: threading.Event = field(default_factory=threading.Event, repr=False)

    def __post_init__(self) -> None:
        threading.Thread(target=self._run, name="weft submission", daemon=True).start()

    def _run(self) -> None:
        try:
            self._future.set_result(self._work(self._events.put, self._asked.is_set))
        except BaseException as fault:
            self._future.set_exception(fault)
        finally:
            self._events.put(None)

    def cancel(self) -> None:
        """Ask the run to stop after its present step; its result then has the status `cancelled`."""
        self._asked.set()

    @property
    def done(self) -> bool:
        """Whether the result is there."""
        return self._future.done()

    def result(self, timeout: float | None = None) -> Result:
        """The result of the run; failures of nodes are in it.

        Args:
            timeout: seconds to wait at the most.

        Raises:
            GraphError: with every problem of the graph.
            TimeoutError: where it is not there in time.
        """
        return self._future.result(timeout)

    def __iter__(self) -> Iterator[Event]:
        return iter(self._events.get, None)

    async def __aiter__(self) -> AsyncIterator[Event]:
        while (event := await asyncio.to_thread(self._events.get)) is not None:
            yield event
