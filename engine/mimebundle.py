"""How notebooks show values. A room above the values (`weft.engine.show`) draws them, and is registered here."""

from __future__ import annotations

from collections.abc import Callable, Mapping

Bundle = Mapping[str, str]
"""One value by media type; a front end shows the richest type that it can."""

Formatter = Callable[[object], Bundle]

_registered: list[Formatter] = []


def register_formatter(formatter: Formatter) -> None:
    """Name what draws values for notebooks; the last one named counts."""
    _registered[:] = [formatter]


def as_text(value: object) -> Bundle:
    """A value as a notebook shows it that cannot draw it."""
    return {"text/plain": str(value)}


class Displayed:
    """Base of the classes whose values a notebook shows."""

    def _repr_mimebundle_(self, **_: object) -> Bundle:
        formatter = _registered[0] if _registered else as_text
        return formatter(self)
