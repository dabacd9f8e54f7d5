"""`os._exit` in a node is that node's failure: nothing else could see it, and a run would end with 0 and say nothing.

It is replaced once, and behaves as before everywhere but in the code of nodes, in the process that runs them: a process
that a node forked ends by it as ever.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import NoReturn

_PROCESS: ContextVar[int] = ContextVar("the process that runs the node around the present code", default=0)


class ProcessExit(BaseException):
    """A node called `os._exit`."""


@contextmanager
def node_code() -> Iterator[None]:
    """The block runs the code of a node."""
    if not isinstance(os._exit, partial):
        os._exit = partial(_exit, os._exit)
    token = _PROCESS.set(os.getpid())
    try:
        yield
    finally:
        _PROCESS.reset(token)


def _exit(original: Callable[[int], NoReturn], status: int) -> NoReturn:
    if _PROCESS.get() == os.getpid():
        raise ProcessExit(f"it called os._exit({status})")
    original(status)
