"""Limits hold: what a graph asks for beyond one is refused before anything runs."""

from __future__ import annotations

import pytest

from weft.engine import Engine, Graph, Limits, Node
from weft.engine.error_codes import CODES


@pytest.mark.parametrize("count", [4, 5])
def test_a_graph_of_more_nodes_than_the_limit_is_refused(count: int) -> None:
    inner = Graph(nodes={f"n{n}": Node("Collect", {"items": (1,)}) for n in range(count)})
    graph = Graph(nodes={"all": Node("graph:inner")}, graphs={"inner": inner})
    codes = {problem.code for problem in Engine(store=None, limits=Limits(max_nodes=4)).check(graph).problems}
    assert ("too-many-nodes" in codes) is (count == 5) and codes <= CODES.keys()
