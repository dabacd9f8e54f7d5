"""Values in notebooks: the registered formatter draws them; without one they are text."""

from __future__ import annotations

from weft.engine.mimebundle import Displayed, register_formatter


class Plain(Displayed):
    """A value that nothing draws."""

    def __str__(self) -> str:
        return "plain"


class Drawn(Displayed):
    """A value that is drawn."""


def test_a_value_without_a_formatter_is_text() -> None:
    assert Plain()._repr_mimebundle_(include=None, exclude=None) == {"text/plain": "plain"}


def test_a_registered_formatter_draws_its_class() -> None:
    register_formatter(Drawn, lambda value: {"text/html": type(value).__name__})
    assert Drawn()._repr_mimebundle_() == {"text/html": "Drawn"}
