"""Links and parameters of one graph in another one; copies of graphs, also in other processes."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from weft.engine import Engine, Graph, GraphError, InputError, NodeError, SettingsError, node
from weft.engine.errors import CorruptRecord, Problem
from weft.engine.graph.document import write
from weft.engine.keys import digest
from weft.nodes import Integer, IntegerMath, JoinText, Text

EXAMPLES = sorted((Path(__file__).parents[3] / "graphs").glob("*.json"))

COPIES: list[Callable[[Any], Any]] = [copy.copy, copy.deepcopy, lambda item: pickle.loads(pickle.dumps(item))]


def code_of(compose: Callable[[], object]) -> str:
    with pytest.raises(GraphError) as caught:
        compose()
    return caught.value.problems[0].code


def value(graph: Graph) -> Any:
    with Engine(store=None) as engine:
        return engine.run(graph).outputs["value"]


def test_a_link_of_another_graph_is_that_graph_s_value_though_ids_are_equal() -> None:
    with Graph():
        seven = IntegerMath(Integer(3), Integer(4), "add")
    with Graph() as second:
        Integer(100)
        second.output("value", IntegerMath(seven, seven, "multiply"))
    assert value(second) == 49
    assert set(second.nodes) == {"integer", "integer_2", "integer_3", "integer_math", "integer_math_2"}


def test_a_node_of_the_graph_around_can_be_used_in_a_subgraph() -> None:
    with Graph() as outer:
        ten = Integer(10)
        with Graph(title="twice") as twice:
            number = twice.parameter("number")
            twice.output("value", IntegerMath(number, ten, "add"))
        outer.output("value", twice(number=5))
    assert value(outer) == 15


def test_lists_and_subgraphs_of_another_graph_are_copied_too() -> None:
    with Graph(title="greet") as greet:
        greet.output("text", JoinText([Text("hello"), Text("you")], " "))
    with Graph():
        hello = greet()
    with Graph() as second:
        second.output("value", JoinText([hello, Text("!")], ""))
    assert value(second) == "hello you!"


def test_links_of_a_block_hold_in_later_blocks_of_the_graph_and_of_what_was_made_of_it() -> None:
    with Graph() as graph:
        number = Integer(3)
    for later in (graph, graph.set("integer.value", 4), copy.deepcopy(graph)):
        with later:
            later.output("value", IntegerMath(number, 1, "add"))
        assert set(later.nodes) == {"integer", "integer_math"}
    assert value(graph) == 4


def test_what_cannot_be_copied_from_another_graph_is_refused() -> None:
    with Graph() as first:
        size = first.parameter("size", default=3)
        number = Integer(size)
    with Graph() as second:
        plain = Integer(1)
        assert code_of(lambda: IntegerMath(number, 1, "add")) == "other-graph"
        assert code_of(lambda: Integer(size)) == "other-graph"
    with Graph() as third:
        Integer(1)
        inner = third.parameter("inner", default=1)
        assert code_of(lambda: JoinText([inner])) == "nested-parameter"
    assert code_of(lambda: third.set("integer.value", plain)) == "other-graph"
    assert list(second.nodes) == ["integer"] and list(third.nodes) == ["integer"]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
@pytest.mark.parametrize("copied", COPIES, ids=["copy", "deepcopy", "pickle"])
def test_graphs_copy_and_go_to_other_processes(copied: Callable[[Any], Any], path: Path) -> None:
    graph = Graph.load(path)
    made = copied(graph)
    assert made == graph and write(made) == write(graph) and (made.path, made.faults) == (graph.path, graph.faults)
    assert made is not graph


@pytest.mark.parametrize("copied", COPIES, ids=["copy", "deepcopy", "pickle"])
def test_plans_and_checked_graphs_copy(copied: Callable[[Any], Any]) -> None:
    with Graph() as graph:
        graph.output("value", IntegerMath(Integer(3), 4, "add"))
    with Engine(store=None) as engine:
        made = copied(engine.plan(graph))
        assert made == engine.plan(graph) or [s.recipe for s in made.steps] == [
            s.recipe for s in engine.plan(graph).steps
        ]
        assert engine.execute(made).outputs["value"] == 7
        assert copied(engine.check(graph)).wanted == engine.check(graph).wanted
        assert copied(engine.run(graph)).outputs == {"value": 7}


def test_a_node_type_that_no_module_has_stays_behind_but_is_in_copies() -> None:
    @node
    def Local() -> int:
        return 8

    with Graph() as graph:
        graph.output("value", Local())
    assert value(copy.deepcopy(graph)) == 8
    sent = pickle.loads(pickle.dumps(graph))
    assert sent == graph and not sent.types
    with pytest.raises(pickle.PicklingError):
        pickle.dumps(Local)


@pytest.mark.parametrize(
    "error",
    [
        GraphError([Problem("m", "h", "n", code="c")]),
        SettingsError([Problem("m", "h")]),
        InputError("m", "h", "c"),
        NodeError("n", "T", InputError("m", "h", "c")),
        CorruptRecord(digest("k"), "r"),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("copied", COPIES, ids=["copy", "deepcopy", "pickle"])
def test_errors_copy(copied: Callable[[Any], Any], error: Exception) -> None:
    made = copied(error)
    assert type(made) is type(error) and str(made) == str(error) and made.args == error.args
