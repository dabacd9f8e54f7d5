"""The threads in which one run reads and writes files, and in which it uses devices where there are several.

A `ThreadPoolExecutor` would be joined without limit when the process ends; the end of the process waits for these
threads for some seconds (`weft.engine.process_end`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from weft.engine.process_end import start_thread
from weft.engine.weights.openmp_team import dismiss_team

T = TypeVar("T")


class FileThreads(Generic[T]):
    """A few threads that do what they are given, first come first served.

    Args:
        count: how many threads there are at most; one is started with each of the first tasks.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._tasks: SimpleQueue[tuple[Future[T], Callable[[], T]] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []

    def start(self, work: Callable[[], T]) -> Future[T]:
        """Do something in a thread."""
        if len(self._threads) < self._count:
            self._threads.append(start_thread(self._serve, "weft files"))
        future: Future[T] = Future()
        self._tasks.put((future, work))
        return future

    def close(self, wait: bool = True) -> None:
        """Drop what has not begun.

        Args:
            wait: whether to wait for what has begun.
        """
        with suppress(Empty):
            while (task := self._tasks.get_nowait()) is not None:
                task[0].cancel()
        for _ in self._threads:
            self._tasks.put(None)
        if wait:
            for thread in self._threads:
                thread.join()

    def _serve(self) -> None:
        while (task := self._tasks.get()) is not None:
            _do(*task)
            del task  # it holds values of the run


def _do(future: Future[T], work: Callable[[], T]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = work()
    except BaseException as fault:
        future.set_exception(fault)
    else:
        future.set_result(result)
    finally:
        dismiss_team()
