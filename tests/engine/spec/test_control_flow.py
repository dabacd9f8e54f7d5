"""Branches and lists: what is not chosen is not computed, whoever chooses."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from weft.engine import Choose, Collect, Engine, Graph, InputError, JoinLists, Link, Node, NodeError, Switch, node
from weft.engine.events import NodeBlocked
from weft.engine.graph.document import read


@node
def Twice(number: int) -> int:
    """Double it."""
    return 2 * number


@node
def Even(number: int) -> bool:
    """Whether it is even."""
    return number % 2 == 0


@node
def Fails(number: int) -> bool:
    """Never gives anything."""
    raise ValueError("no")


@node
def Words(text: str) -> list[str]:
    """Its words."""
    return text.split()


TYPES: dict[str, Any] = {"Twice": Twice, "Even": Even, "Fails": Fails, "Words": Words}


def graph_of(nodes: dict[str, Any], *outputs: str, **graphs: Any) -> Graph:
    """A graph that gives the named nodes."""
    links = {name: {"link": name} for name in outputs}
    return replace(read(json.dumps({"weft": 1, "nodes": nodes, "graphs": graphs, "outputs": links})), types=TYPES)


def twice(number: Any) -> dict[str, Any]:
    """A node that doubles."""
    return {"type": "Twice", "inputs": {"number": number}}


def link(target: str) -> dict[str, str]:
    """A link."""
    return {"link": target}


def switched(condition: Any) -> Graph:
    """Two branches of which one is chosen, and what takes from it."""
    inputs = {"condition": condition, "then": link("left"), "otherwise": link("right")}
    even = {"type": "Even", "inputs": {"number": 4}}
    nodes = {
        "even": even, "left": twice(1), "right": twice(10), "pick": {"type": "Switch", "inputs": inputs}
    }  # fmt: skip
    return graph_of(nodes | {"last": twice(link("pick"))}, "last")


@pytest.mark.parametrize(("condition", "result", "ran"), [(True, 4, "left"), (False, 40, "right")])
def test_a_literal_condition_prunes_the_other_branch(engine: Engine, condition: bool, result: int, ran: str) -> None:
    planned = engine.plan(switched(condition))
    assert {step.call.id for step in planned.of("run")} == {ran, "pick", "last"}
    assert engine.execute(planned).outputs == {"last": result}


def test_a_computed_condition_runs_one_branch(engine: Engine) -> None:
    planned = engine.plan(switched(link("even")))
    undecided = {step.call.id: step.after for step in planned.of("undecided")}
    assert undecided == {"pick": ("even",), "left": ("even",), "right": ("even",)}
    result = engine.execute(planned)
    assert (result.outputs, result.ran) == ({"last": 4}, ("even", "left", "pick", "last"))


def test_a_condition_in_the_store_decides_the_plan(engine: Engine) -> None:
    engine.run(switched(link("even")))
    planned = engine.plan(switched(link("even")))
    assert not planned.checked.pending and [step.call.id for step in planned.of("cached")] == ["last"]


def test_a_condition_that_fails_blocks_what_waits_for_it(engine: Engine) -> None:
    nodes = {
        "fails": {"type": "Fails", "inputs": {"number": 1}},
        "pick": {"type": "Switch", "inputs": {"condition": link("fails"), "then": link("left"), "otherwise": 3}},
        "left": twice(1),
        "other": twice(7),
    }
    result = engine.execute(engine.plan(graph_of(nodes, "pick", "other")))
    assert (result.status, result.ran, result.outputs) == ("failed", ("other",), {"other": 14})
    assert len(result.failures) == 1


def test_without_a_store_what_decides_runs_once(storeless: Engine) -> None:
    result = storeless.run(switched(link("even")))
    assert result.ran == ("even", "left", "pick", "last")


@pytest.mark.parametrize("index", [1, link("one")])
def test_choose_runs_one_item_alone(engine: Engine, index: Any) -> None:
    items = [link("a"), link("b"), 5]
    nodes = {"a": twice(1), "b": twice(2), "one": {"type": "Count", "inputs": {"items": ["x"]}}}
    result = engine.run(graph_of(nodes | {"c": {"type": "Choose", "inputs": {"index": index, "items": items}}}, "c"))
    assert result.outputs == {"c": 4} and "a" not in result.ran


def test_branches_of_different_types_are_refused(engine: Engine) -> None:
    literal = switched(True).set("pick.otherwise", "text")
    assert 'pick.otherwise: expected an int, found "text"' in str(engine.check(literal).problems[0])
    linked = switched(True).set("pick.then", Link("words"))
    nodes = {**linked.nodes, "words": Node("Words", {"text": "a"})}
    assert "`right` gives int, expected list of str" in str(engine.check(replace(linked, nodes=nodes)).problems[0])


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"index": "x", "items": [link("a")]}, "expected an int"),
        ({"items": [link("a")]}, "the required input `index` (int) is missing"),
        ({"index": 1, "items": link("a")}, "`a` gives int"),
        ({"index": -1, "items": [link("a")]}, "below the least value"),
    ],
)
def test_what_decides_is_checked_as_any_input(engine: Engine, inputs: dict[str, Any], words: str) -> None:
    graph = graph_of({"a": twice(1), "c": {"type": "Choose", "inputs": inputs}}, "c")
    assert words in str(engine.check(graph).problems[0])


def test_a_branch_of_null_is_refused(engine: Engine) -> None:
    assert "expected an int, found null" in str(engine.check(switched(True).set("pick.then", None)).problems[0])


def test_a_branch_keeps_its_type_for_what_takes_it(engine: Engine) -> None:
    nodes = {
        "words": {"type": "Words", "inputs": {"text": "a b"}},
        "pick": {"type": "Switch", "inputs": {"condition": True, "then": link("words"), "otherwise": link("words")}},
        "last": twice(link("pick")),
    }
    assert "`pick` gives list of str, expected int" in str(engine.check(graph_of(nodes, "last")).problems[0])


def test_branches_and_lists_in_python(storeless: Engine) -> None:
    with Graph() as graph:
        items = Collect([Twice(1), Twice(2)])
        Twice(Choose(1, items))
    assert storeless.run(replace(graph, outputs={"last": Link("twice_3")})).outputs == {"last": 8}
    assert Switch(True, 1, 2) == 1


INNER = {
    "parameters": {"number": {"sets": ["double.number"]}},
    "nodes": {"double": twice(0)},
    "outputs": {"value": link("double")},
}


def mapped(numbers: Any, **more: Any) -> Graph:
    """A subgraph repeated over numbers, with its results."""
    nodes = {"each": {"type": "map:inner", "inputs": {"number": numbers}}, **more}
    return graph_of(nodes, "each", inner=INNER)


def test_a_subgraph_is_repeated_over_literals(engine: Engine) -> None:
    result = engine.run(mapped([1, 2, 3]))
    assert result.outputs == {"each": [2, 4, 6]}
    assert set(result.ran) == {"each/0/double", "each/1/double", "each/2/double", "@each"}
    assert engine.run(mapped([3, 1, 5])).ran == ("each/2/double", "@each")


def test_a_subgraph_is_repeated_over_a_list_that_a_node_gives(engine: Engine) -> None:
    source = {"type": "Collect", "inputs": {"items": [link("two"), 5]}}
    graph = mapped(link("source"), source=source, two=twice(1))
    planned = engine.plan(graph)
    assert {step.call.id: step.after for step in planned.of("undecided")}["each/*/double"] == ("source",)
    result = engine.execute(planned)
    assert result.outputs == {"each": [4, 10]} and "each/1/double" in result.ran
    assert not [*engine.plan(graph).of("run", "undecided")]


def test_lists_are_joined(engine: Engine) -> None:
    joined = {"type": "JoinLists", "inputs": {"first": link("each"), "second": [7, link("two")]}}
    nodes = {"each": {"type": "map:inner", "inputs": {"number": [1, 2]}}, "two": twice(1), "all": joined}
    assert engine.run(graph_of(nodes, "all", inner=INNER)).outputs == {"all": [2, 4, 7, 2]}
    assert JoinLists([1], [2, 3]) == [1, 2, 3]


@pytest.mark.parametrize(
    ("node", "place"),
    [
        ({"type": "Count", "inputs": {"items": link("two")}}, 'write [ ] around it: [{"link": "two"}]'),
        ({"type": "Twice", "inputs": {"number": link("numbers")}}, "map:NAME"),
        ({"type": "Twice", "inputs": {"number": [link("two")]}}, "map:NAME"),
        ({"type": "Count", "inputs": {"items": [[link("two")]]}}, "JoinLists"),
    ],
)
def test_one_for_a_list_and_a_list_for_one_are_refused_with_what_helps(engine: Engine, node: Any, place: str) -> None:
    numbers = {"type": "Collect", "inputs": {"items": [1, 2]}}
    nodes = {"two": twice(1), "numbers": numbers, "wrong": node}
    (problem,) = engine.check(graph_of(nodes, "wrong")).problems
    assert problem.node == "wrong" and place in problem.hint


def test_items_that_are_no_literals_are_taken_out_of_their_list(engine: Engine) -> None:
    inner = {
        "parameters": {"words": {"sets": ["count.items"]}},
        "nodes": {"count": {"type": "Count", "inputs": {"items": ["x"]}}},
        "outputs": {"value": link("count")},
    }
    words = {name: {"type": "Words", "inputs": {"text": name}} for name in ("a", "b")}
    both = {"type": "Collect", "inputs": {"items": [link("a"), link("b")]}}
    each = {"type": "map:inner", "inputs": {"words": link("both")}}
    assert engine.run(graph_of({**words, "both": both, "each": each}, "each", inner=inner)).outputs == {"each": [1, 1]}


def test_repeated_subgraphs_feed_each_other(engine: Engine) -> None:
    graph = mapped([1, 2], again={"type": "map:inner", "inputs": {"number": link("each")}})
    result = engine.run(replace(graph, outputs={"again": Link("again")}))
    assert result.outputs == {"again": [4, 8]}


def test_an_empty_list_repeats_nothing(engine: Engine) -> None:
    assert engine.run(mapped([])).outputs == {"each": []}
    words = {"type": "Words", "inputs": {"text": ""}}
    inner = {**INNER, "parameters": {"number": {"sets": ["double.text"]}}, "nodes": {
        "double": {"type": "Words", "inputs": {"text": ""}}}}  # fmt: skip
    each = {"type": "map:inner", "inputs": {"number": link("words")}}
    assert engine.run(graph_of({"words": words, "each": each}, "each", inner=inner)).outputs == {"each": []}


@pytest.mark.parametrize(
    ("graph", "code"),
    [
        (mapped(3), "no-list"),
        (mapped([1, "x"]), "wrong-type"),
        (mapped(link("words"), words={"type": "Words", "inputs": {"text": "a"}}), "wrong-type"),
        (mapped(link("each")), "cycle"),
        (mapped([1], other={"type": "map:missing", "inputs": {}}), "unknown-subgraph"),
    ],
)
def test_what_cannot_be_repeated_is_refused_before_anything_runs(graph: Graph, code: str, engine: Engine) -> None:
    assert code in {problem.code for problem in engine.check(graph).problems}


def test_lists_of_different_lengths_are_refused(engine: Engine) -> None:
    inner = {**INNER, "parameters": {"number": {"sets": ["double.number"]}, "more": {"sets": ["other.number"]}}}
    inner["nodes"] = {"double": twice(0), "other": twice(0)}
    each = {"type": "map:inner", "inputs": {"number": [1, 2], "more": [1]}}
    problems = engine.check(graph_of({"each": each}, "each", inner=inner)).problems
    assert (problems[0].code, problems[0].node) == ("unequal-lists", "each")


def test_an_index_beyond_the_list_fails_its_node(engine: Engine) -> None:
    graph = graph_of({"c": {"type": "Choose", "inputs": {"index": 3, "items": [1]}}}, "c")
    with pytest.raises(NodeError) as raised:
        engine.run(graph)
    assert raised.value.node == "c" and isinstance(raised.value.cause, InputError)
    assert raised.value.cause.code == "out-of-range"


def assert_ran_as_planned(engine: Engine, graph: Graph) -> None:
    """Whether a run does what its plan says."""
    planned = engine.plan(graph)
    result = engine.execute(planned)
    for state, done in (("run", result.ran), ("cached", result.cached)):
        assert {step.call.id for step in planned.steps if step.state == state} <= {*done}
    assert {*result.ran, *result.cached} <= {step.call.id for step in planned.steps if step.state != "unneeded"}


def switch(condition: Any, then: Any, otherwise: Any) -> dict[str, Any]:
    """A node that chooses."""
    return {"type": "Switch", "inputs": {"condition": condition, "then": then, "otherwise": otherwise}}


def even(number: Any) -> dict[str, Any]:
    """A node that gives a condition."""
    return {"type": "Even", "inputs": {"number": number}}


@pytest.mark.parametrize(
    ("nodes", "outputs"),
    [
        pytest.param({"n0": twice(1), "n1": even(link("n0")), "n2": switch(link("n1"), 1, 2)}, ["n0"], id="unwanted"),
        pytest.param(
            {"n0": even(2), "n2": even(2), "n3": twice(3), "n4": switch(link("n2"), link("n3"), 1)},
            ["n4", "n2", "n0"],
            id="twins",
        ),
    ],
)
def test_a_plan_with_choices_says_what_runs(engine: Engine, nodes: dict[str, Any], outputs: list[str]) -> None:
    assert_ran_as_planned(engine, graph_of(nodes, *outputs))


def test_a_blocked_node_has_one_event(engine: Engine) -> None:
    nodes = {
        "n0": {"type": "Choose", "inputs": {"index": 2, "items": [2]}},
        "n1": even(link("n0")),
        "n2": switch(link("n1"), 0, 1),
    }
    heard: list[str] = []
    engine.execute(
        engine.plan(graph_of(nodes, "n2")),
        listener=lambda event: heard.append(event.node) if isinstance(event, NodeBlocked) else None,
    )
    assert heard == ["n1", "n2"]


def test_a_plan_knows_what_instant_nodes_decide(engine: Engine) -> None:
    planned = engine.plan(mapped(link("source"), source={"type": "Collect", "inputs": {"items": [3, 4]}}))
    assert {step.call.id for step in planned.of("run")} == {"each/0/double", "each/1/double", "@each"}
    assert engine.execute(planned).outputs == {"each": [6, 8]}


def test_an_instant_node_that_fails_fails_in_the_run(engine: Engine) -> None:
    index = {"type": "Choose", "inputs": {"index": 5, "items": [True]}}
    with pytest.raises(NodeError) as raised:
        engine.run(graph_of({"no": index, "pick": switch(link("no"), 1, 2)}, "pick"))
    assert raised.value.node == "no"
