"""Keeps the files of a folder within a number of bytes: those that were not used for longest go first."""

from __future__ import annotations

import re
from pathlib import Path


def keep_within(folder: Path, names: re.Pattern[str], budget: int, keep: str) -> None:
    """Remove the files that were not used for longest until the rest is within a budget.

    Args:
        names: of the files that count; others are left alone.
        keep: the name of one that stays in any case.
    """
    files = sorted(
        ((path.stat(), path) for path in folder.iterdir() if names.match(path.name)), key=lambda one: one[0].st_mtime
    )
    total = sum(status.st_size for status, _ in files)
    for status, path in files:
        if total <= budget:
            return
        if path.name != keep:
            path.unlink(missing_ok=True)
            total -= status.st_size
