"""Paths that begin with `~`."""

from __future__ import annotations

from pathlib import Path

from weft.engine.errors import InputError


def with_home(path: str | Path) -> Path:
    """The path with `~` and `~NAME` replaced by the home folder.

    Raises:
        InputError: where that home folder is not known, as in a container without users.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        message = f"the home folder in `{path}` is not known"
        raise InputError(message, "write the whole path, or set HOME", "malformed-path") from None
