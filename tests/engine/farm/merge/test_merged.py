"""One plan for many items: each shared node once, items named by content."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.engine.farm.conftest import Place
from weft.engine import GraphError
from weft.engine.farm.merge.merged import planned
from weft.engine.limits import Limits

SWEEP = {
    "prompt": list("abcdefg"),
    "seed": {"count": 9},
    "sample.scale": [1.0, 5.0],
    "sample.sampler": ["one", "three"],
}


def test_executions_are_the_least_that_can_be(place: Place) -> None:
    plan = planned(place.job(SWEEP), place.setup.engine())
    assert dict(plan.executions) == {"Encode": 7, "Sample": 7 * 9 * 4, "Paint": 7 * 9 * 4}
    assert len(plan.items) == len({*plan.ids}) == 252


def test_the_limit_of_nodes_is_for_the_graph_of_one_item(place: Place) -> None:
    engine = replace(place.setup.engine(), limits=Limits(max_nodes=3))
    plan = planned(place.job(SWEEP), engine)
    assert plan.ids == planned(place.job(SWEEP), place.setup.engine()).ids and engine.limits == Limits(max_nodes=3)
    with pytest.raises(GraphError) as caught:
        planned(place.job(SWEEP), replace(engine, limits=Limits(max_nodes=2)))
    assert [problem.code for problem in caught.value.problems] == ["too-many-nodes"]
    with pytest.raises(GraphError) as caught:
        place.job(SWEEP, max_items=251)
    assert [problem.code for problem in caught.value.problems] == ["too-many-items"]


def test_ids_are_those_of_content(place: Place) -> None:
    engine = place.setup.engine()
    both = planned(place.job({"prompt": ["a", "b"], "seed": [1, 2]}), engine).ids
    turned = planned(place.job({"sample.seed": [2, 1], "encode.text": ["b", "a"]}), engine).ids
    assert {*both} == {*turned} and len({*both}) == 4


def test_equal_items_are_one(place: Place) -> None:
    plan = planned(place.job({"prompt": ["a", "a"], "sample.scale": [1, 1.0]}), place.setup.engine())
    assert len(plan.items) == 4 and len({*plan.ids}) == 1 and plan.executions["Sample"] == 1


def test_problems_of_values_name_the_node_once(place: Place) -> None:
    with pytest.raises(GraphError) as caught:
        planned(place.job({"prompt": ["a", "b"], "sample.scale": [1.0, "x"]}), place.setup.engine())
    assert [(one.node, one.input) for one in caught.value.problems] == [("sample", "scale")]


def test_a_parameter_keeps_its_bounds(place: Place) -> None:
    with pytest.raises(GraphError) as caught:
        planned(place.job({"seed": [1, -1]}), place.setup.engine())
    assert [problem.code for problem in caught.value.problems] == ["out-of-range"]
