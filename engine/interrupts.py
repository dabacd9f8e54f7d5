"""Tells an interrupt of the user from what a node raises.

Ctrl-C and SIGTERM raise `KeyboardInterrupt`, `SystemExit` and the like in the middle of whatever the main thread runs,
a node perhaps. A node raises the same classes itself, by `sys.exit` in a library for instance; that is a failure of the
node. Only what a signal handler raised is an interrupt, so the handlers are noted while a run goes on.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

Handler = Callable[[int, FrameType | None], object]

_MARK = "raised by a signal handler"
"""The name under which the `__dict__` of an exception has that."""

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGALRM", "SIGUSR1", "SIGUSR2", "SIGBREAK")

_SIGNALS = tuple(getattr(signal, name) for name in _NAMES if hasattr(signal, name))
"""The signals whose handlers are noted, as far as the system has them."""


def end_signals() -> tuple[int, ...]:
    """The signals that ask a process to end in order: SIGTERM, Ctrl-C, and the end of its terminal (SIGHUP).

    SIGHUP is left out where it is ignored, as under `nohup`.
    """
    hang_up = getattr(signal, "SIGHUP", None)
    heard = hang_up is not None and signal.getsignal(hang_up) is not signal.SIG_IGN
    return (signal.SIGTERM, signal.SIGINT, *((hang_up,) if heard else ()))


@dataclass(frozen=True)
class _Marking:
    """A signal handler that marks what another one raises."""

    handler: Handler

    def __call__(self, number: int, frame: FrameType | None) -> None:
        try:
            self.handler(number, frame)
        except BaseException as fault:
            vars(fault)[_MARK] = True
            raise


@contextmanager
def interrupts_noted() -> Iterator[None]:
    """Have `is_interrupt` know what the present signal handlers raise while the block runs.

    Python calls signal handlers in the main thread alone, so nothing is done in others. A block inside of another one
    notes only those that were set in between: setting a handler takes microseconds, which a worker of light items would
    spend for each.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    noted = {}
    for number in _SIGNALS:
        handler = signal.getsignal(number)
        if callable(handler) and not isinstance(handler, _Marking):
            noted[number] = (handler, marking := _Marking(handler))
            signal.signal(number, marking)
    try:
        yield
    finally:
        for number, (handler, marking) in noted.items():
            if signal.getsignal(number) is marking:
                signal.signal(number, handler)


def is_interrupt(fault: BaseException) -> bool:
    """Whether a signal stopped the code that raised an exception, by Ctrl-C for instance.

    It did where a noted handler raised the exception, or one that led to it. Where the handler of Ctrl-C is not noted,
    every `KeyboardInterrupt` of the main thread counts. An `Exception` never does: code handles these.
    """
    if isinstance(fault, Exception) or threading.current_thread() is not threading.main_thread():
        return False
    handler = signal.getsignal(signal.SIGINT)
    unmarked = callable(handler) and not isinstance(handler, _Marking)
    return any(_MARK in vars(one) or (unmarked and isinstance(one, KeyboardInterrupt)) for one in _behind(fault))


def _behind(fault: BaseException) -> Iterator[BaseException]:
    """An exception, those that it was raised from or while handling, and those of a group."""
    waiting, seen = [fault], set[int]()
    while waiting:
        one = waiting.pop()
        if id(one) not in seen:
            seen.add(id(one))
            yield one
            others = one.exceptions if isinstance(one, BaseExceptionGroup) else ()
            waiting += [other for other in (one.__cause__, one.__context__, *others) if other is not None]
