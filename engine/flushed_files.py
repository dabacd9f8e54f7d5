"""Files that are on the disk before anything goes on, so that a machine that loses its power has them."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def flush(path: Path) -> None:
    """Have a file, or what a folder lists, on the disk, not in the memory of the system.

    Nothing is done on Windows, which flushes only what is open for writing.
    """
    if sys.platform == "win32":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
