"""The model libraries without their progress bars and warnings: what they would say is known here, or raised.

Imports diffusers and transformers: only modules that nodes' bodies import use it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import diffusers.utils
import transformers.utils

_LOCK = threading.Lock()
_RESTORE: list[Callable[[], None]] = []
"""One entry for each block that runs, of any thread; the first one restores what all of them found."""


@contextmanager
def quietly() -> Iterator[None]:
    """Both libraries silent, and as they were when the last block of any thread ends: verbosity is the process's."""
    with _LOCK:
        _RESTORE.append(_nothing if _RESTORE else _silence())
    try:
        yield
    finally:
        with _LOCK:
            # The first entry stays to the end, whichever block ends last.
            restore = _RESTORE.pop()
            if not _RESTORE:
                restore()


def _silence() -> Callable[[], None]:
    """Silence both libraries; what restores them."""
    bars: Any = transformers.utils.logging
    libraries: tuple[Any, ...] = (diffusers.utils.logging, transformers.utils.logging)
    levels = [library.get_verbosity() for library in libraries]
    barred = bars.is_progress_bar_enabled()
    for library in libraries:
        library.set_verbosity_error()
    bars.disable_progress_bar()

    def restore() -> None:
        for library, level in zip(libraries, levels, strict=True):
            library.set_verbosity(level)
        if barred:
            bars.enable_progress_bar()

    return restore


def _nothing() -> None:
    """Restores nothing: another block does."""
