"""Threads that compute in the background, and the end of the process.

The threads are daemons, which Python stops in the middle of a node when the process ends. So `_end_all` asks them to
stop, and waits for them for at most `AT_EXIT` seconds, before that.
"""

from __future__ import annotations

import atexit
import importlib
import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

from weft.engine.errors import Cancelled

AT_EXIT = 10.0
"""Seconds that the end of a process waits for its threads. Runs look in each step of a node whether they
should stop."""

_ENDING = threading.Event()

_THREADS: dict[threading.Thread, Callable[[], object] | None] = {}
"""The threads that run, and what asks each to stop: a dict, since threads add and remove while it is listed."""


_LEFT_BEHIND: list[threading.Thread] = []
"""Threads that nobody waits for, since what they run did not end in time."""


def leave_behind(thread: threading.Thread) -> None:
    """Have the end of the process not wait for a daemon thread that does not end."""
    _LEFT_BEHIND[:] = [thread, *(one for one in _LEFT_BEHIND if one.is_alive())]


def end_process(code: int) -> NoReturn:
    """End this process; at once where a thread that was left behind still runs, since libraries may crash otherwise.

    Python waits for threads that are no daemons, and a node or a library may have started one that never ends. Such
    threads have `AT_EXIT` seconds more than those of this module; then the process ends all the same.
    """
    if any(thread.is_alive() for thread in _LEFT_BEHIND):
        _end_now(code)
    others = {threading.main_thread(), threading.current_thread()}
    if any(not thread.daemon for thread in threading.enumerate() if thread not in others):
        last = threading.Timer(2 * AT_EXIT, _end_now, (code,))
        last.daemon = True
        last.start()
    sys.exit(code)


def _end_now(code: int) -> NoReturn:
    """End this process without waiting for its threads."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):  # None where the process has no such stream
            stream.flush()
    os._exit(code)


def raise_if_ending() -> None:
    """Raise `Cancelled` once the process ends."""
    if _ENDING.is_set():
        raise Cancelled("the process ends")


def start_thread(work: Callable[[], object], name: str, stop: Callable[[], object] | None = None) -> threading.Thread:
    """Start a daemon thread that the end of the process waits for.

    Args:
        stop: asks `work` to return soon; called when the process ends. None where something else asks it.

    Raises:
        RuntimeError: where the system starts no more threads.
    """

    def run() -> None:
        try:
            work()
        finally:
            _THREADS.pop(threading.current_thread(), None)

    thread = threading.Thread(target=run, name=name, daemon=True)
    _THREADS[thread] = stop
    try:
        thread.start()
    except BaseException:
        _THREADS.pop(thread, None)
        raise
    return thread


def _end_all() -> None:
    """Ask all threads to stop, and wait for them for a while."""
    end = time.monotonic() + AT_EXIT
    _ENDING.set()
    running = list(_THREADS.items())
    for _, stop in running:
        if stop is not None:
            stop()
    for thread, _ in running:
        if thread.is_alive():
            thread.join(max(0.0, end - time.monotonic()))


# Thread pools of nodes are joined before `atexit` handlers are called, and a run may wait in one: it must be cancelled
# before. `_register_atexit` is what `concurrent.futures.thread` itself uses to be called in time; what registers last
# is called first, so that module is imported before.
importlib.import_module("concurrent.futures.thread")
getattr(threading, "_register_atexit", atexit.register)(_end_all)
