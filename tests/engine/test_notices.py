"""Notices reach whoever receives them, and are Python warnings where nobody does."""

from __future__ import annotations

import pytest

from weft.engine import INJECTED, Context, Engine, Graph, Notice, give_notice, node
from weft.engine.notices import receiving

MORE = Notice("there is more", "look", "more")


def test_a_notice_that_nobody_receives_is_a_python_warning() -> None:
    with pytest.warns(UserWarning, match="there is more"):
        give_notice(MORE)


def test_the_innermost_receiver_gets_a_notice() -> None:
    outer, inner = list[Notice](), list[Notice]()
    with receiving(outer.append):
        with receiving(inner.append):
            give_notice(MORE)
        give_notice(MORE)
    assert (outer, inner) == ([MORE], [MORE])


@node
def Noticing(number: int, *, context: Context = INJECTED) -> int:
    """Gives a notice."""
    give_notice(MORE)
    return number


def test_a_run_has_the_notices_of_its_nodes() -> None:
    with Graph() as graph:
        graph.output("first", Noticing(1))
        graph.output("second", Noticing(2))
    with Engine(store=None) as engine:
        result = engine.run(graph)
    assert sorted((one.node, one.code) for one in result.warnings) == [("noticing", "more"), ("noticing_2", "more")]
    assert [one["code"] for one in result.plain()["warnings"]] == ["more", "more"]
