"""Gives the events of one run to its listener, one at a time, outside of the run.

A listener is called in the `contextvars` context of the caller of the run, so it is in no node and in no turn on a
device. It must neither run something nor wait for a run: the run waits for the listener, perhaps with the device in its
hold, so both would wait for ever.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine
from contextvars import ContextVar, copy_context

from weft.engine import events
from weft.engine.errors import InputError
from weft.engine.graph.builder import composing_nothing
from weft.engine.interrupts import is_interrupt

_IN_LISTENER: ContextVar[bool] = ContextVar("whether the present code was called by a listener", default=False)


class Emitter:
    """Calls the listener of one run.

    An exception of the listener does not reach the code that emits: the first one is kept in `fault`. The run stops
    because of it and raises it when it has ended. The listener gets the remaining events all the same.
    """

    def __init__(self, listener: events.Listener = events.ignore) -> None:
        self.listener = listener
        self.fault: BaseException | None = None
        self._closed = False
        self._lock = threading.Lock()
        with composing_nothing():
            self._context = copy_context()
        self._context.run(_IN_LISTENER.set, True)

    def __call__(self, event: events.Event) -> None:
        """Give one event to the listener; none after the end of the run, when threads of its nodes may still report."""
        if self.unheard:
            return
        with self._lock:
            if self._closed:
                return
            self._closed = isinstance(event, events.RunFinished)
            try:
                _refuse_coroutine(self._context.run(self._listen, event))
            except BaseException as fault:
                if is_interrupt(fault):
                    raise
                if self.fault is None:
                    self.fault = fault

    def _listen(self, event: events.Event) -> object:
        listener: Callable[[events.Event], object] = self.listener
        return listener(event)

    @property
    def unheard(self) -> bool:
        """Whether nobody listens."""
        return self.listener is events.ignore

    def failed(self) -> bool:
        """Whether the listener has raised an exception."""
        return self.fault is not None


def _refuse_coroutine(given: object) -> None:
    """Refuse a listener that is an `async def`: nobody would await what it returns.

    Raises:
        InputError: for a coroutine.
    """
    if isinstance(given, Coroutine):
        given.close()
        raise InputError(
            "the listener is an asynchronous function, expected a plain one",
            "submit the graph: async for event in engine.submit(graph)",
            "wrong-type",
        )


def raise_if_in_listener(what: str) -> None:
    """Refuse something that would make a run wait for itself.

    Args:
        what: what a listener must not do, as an infinitive.

    Raises:
        InputError: in a listener.
    """
    if _IN_LISTENER.get():
        raise InputError(
            f"a listener cannot {what}: the run that called it waits for it",
            "submit the graph and wait for its result after the listener has returned",
            "inside-listener",
        )


def leave_listener() -> None:
    """Mark the present context as that of a run of its own, also where a listener submitted it."""
    _IN_LISTENER.set(False)
