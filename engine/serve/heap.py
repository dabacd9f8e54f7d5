"""The memory of a server that runs for months: one heap for all threads; what is not used goes back to the system."""

from __future__ import annotations

import ctypes
import gc
import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

M_ARENA_MAX = -8
"""Of glibc's `mallopt`."""


def share_one_heap() -> None:
    """Have all threads that begin from now on allocate from one heap, where the C library is glibc.

    It gives threads up to eight heaps for each core, and what one of them has freed the others do not use: a server,
    whose requests are answered by forty threads, would grow for hours. Threads of Python hardly allocate at once.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)


GROWN = 16 * 2**20
"""Bytes by which memory may grow before it is looked for what is not used."""


@dataclass(eq=False)
class Heap:
    """The memory of this process, as it is now and then looked after."""

    _before: int = field(default_factory=lambda: memory_in_use(), repr=False)

    def give_back_unused(self) -> None:
        """Give memory that is not used any more back to the system, where it has grown since the last time.

        Connections refer to themselves, so that only a collection of all generations frees them, which a server makes
        seldom (`weft.engine.gc`); and glibc keeps what is freed in the middle of its heap. It takes some 0.1 s.
        """
        if memory_in_use() < self._before + GROWN:
            return
        gc.collect()
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)
        self._before = memory_in_use()


def memory_in_use() -> int:
    """The bytes of memory that this process has; 0 where the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0
