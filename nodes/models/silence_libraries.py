"""The model libraries without their progress bars and warnings: what they would say is known here, or raised.

Imports diffusers and transformers: only modules that nodes' bodies import use it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import diffusers.utils
import transformers.utils


@contextmanager
def quietly() -> Iterator[None]:
    """Both libraries silent, and as they were on exit."""
    bars: Any = transformers.utils.logging
    libraries: tuple[Any, ...] = (diffusers.utils.logging, transformers.utils.logging)
    levels = [library.get_verbosity() for library in libraries]
    barred = bars.is_progress_bar_enabled()
    for library in libraries:
        library.set_verbosity_error()
    bars.disable_progress_bar()
    try:
        yield
    finally:
        for library, level in zip(libraries, levels, strict=True):
            library.set_verbosity(level)
        if barred:
            bars.enable_progress_bar()
