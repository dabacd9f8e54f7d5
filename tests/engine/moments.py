"""Moments in nodes and checks at which a test changes files."""

from __future__ import annotations

from collections.abc import Callable

HOOKS: list[Callable[[str], None]] = []
"""Called with the name of each moment."""


def moment(name: str) -> None:
    """Call what waits for a moment."""
    for hook in [*HOOKS]:
        hook(name)
