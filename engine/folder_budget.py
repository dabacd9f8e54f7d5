"""Keeps the files of a folder within a number of bytes: those that were not used for longest go first."""

from __future__ import annotations

import re
from collections.abc import Container
from pathlib import Path

MOST_FILES = 100_000
"""Files that a folder keeps, however small they are."""


def keep_within(
    folder: Path, names: re.Pattern[str], budget: int, keep: Container[str], most: int = MOST_FILES
) -> tuple[int, int]:
    """Remove the files that were not used for longest until the rest is within a budget; bytes and number of the rest.

    Args:
        names: of the files that count; others are left alone.
        keep: the names of those that stay in any case.
    """
    files = sorted(
        ((path.stat(), path) for path in folder.iterdir() if names.match(path.name)), key=lambda one: one[0].st_mtime
    )
    total, count = sum(status.st_size for status, _ in files), len(files)
    for status, path in files:
        if total <= budget and count <= most:
            break
        if path.name not in keep:
            path.unlink(missing_ok=True)
            total, count = total - status.st_size, count - 1
    return total, count
