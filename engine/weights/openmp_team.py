"""The threads of OpenMP that compute with a thread of this process: its team, which torch on the CPU works with.

GNU's OpenMP gives each thread that computes a team of its own and keeps it until that thread ends. Where there are more
threads in all teams together than cores, the idle ones counted, each thread waits asleep rather than spinning, and is
woken twice for each operation: on two cores, sampling takes nearly twice as long as soon as a second thread of the
process has computed. So a thread lets its team go when it is done. The next operation makes a new one within some tens
of microseconds.

Other OpenMP libraries share idle threads among all teams; there, and where torch is not loaded, nothing is done.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from functools import lru_cache

from weft.engine.loaded_modules import loaded_module

_SOFT = 1
"""`omp_pause_soft` (OpenMP 5.0, section 3.2.44): what was set, as the number of threads, stays set."""


def dismiss_team() -> None:
    """Let the team of the present thread go. It has no effect within an operation that the team works on."""
    if sys.platform == "linux" and (torch := loaded_module("torch")) is not None:
        _pause(torch._C.__file__)(_SOFT)


@lru_cache(maxsize=1)
def _pause(library: str) -> Callable[[int], int]:
    """`omp_pause_resource_all` of the OpenMP library that torch is linked with; nothing where that is not GNU's.

    Args:
        library: torch's own. What it is linked with is looked through for a function that it lacks itself.
    """
    try:
        torch = ctypes.CDLL(library)
        pause: Callable[[int], int] = torch.omp_pause_resource_all
    except (OSError, AttributeError):
        return _nothing
    return _nothing if hasattr(torch, "__kmpc_fork_call") else pause  # which LLVM's and Intel's have


def _nothing(kind: int) -> int:
    return kind
