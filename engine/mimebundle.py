"""How notebooks show values. Rooms above the values (`weft.engine.show`) register the formatters that draw them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

T = TypeVar("T")

Bundle = Mapping[str, str]
"""One value by media type; a front end shows the richest type that it can."""

_FORMATTERS: dict[type, Callable[[Any], Bundle]] = {}


def register_formatter(cls: type[T], formatter: Callable[[T], Bundle]) -> None:
    """Use `formatter` when a notebook shows a value of this class."""
    _FORMATTERS[cls] = formatter


class Displayed:
    """Base of the classes whose values a notebook shows; as text where no formatter is registered."""

    def _repr_mimebundle_(self, **_: object) -> Bundle:
        formatter = _FORMATTERS.get(type(self))
        return formatter(self) if formatter else {"text/plain": str(self)}
