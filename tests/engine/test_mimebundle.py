"""Values in notebooks: graphs, plans and results are drawn, other values are text."""

from __future__ import annotations

from weft.engine import Graph
from weft.engine.mimebundle import Displayed


class Plain(Displayed):
    """A value that nothing draws."""

    def __str__(self) -> str:
        return "plain"


def test_a_value_that_nothing_draws_is_text() -> None:
    assert Plain()._repr_mimebundle_(include=None, exclude=None) == {"text/plain": "plain"}


def test_a_graph_is_drawn() -> None:
    assert "<svg" in Graph()._repr_mimebundle_()["image/svg+xml"]
