"""Calls of node types in Python: what they look like to a reader, and what a wrong call is answered."""

from __future__ import annotations

import inspect
import pydoc
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest

from weft.engine import Engine, Graph, GraphError, InputError, node, value
from weft.engine.graph import document


@value
@dataclass(frozen=True)
class Warp:
    """A value of its own."""

    threads: int


@value
@dataclass(frozen=True)
class Shuttle:
    """Another."""

    colour: str


class Loom(NamedTuple):
    """Two outputs."""

    warp: Warp
    shuttle: Shuttle


@node
def SetUp(threads: int) -> Loom:
    """Set up a loom."""
    return Loom(Warp(threads), Shuttle("red"))


@node(category="cloth")
def Weave(warp: Warp, shuttle: Shuttle, *, rows: int = 1) -> str:
    """Weave a cloth.

    Args:
        rows: how many.
    """
    return f"{warp.threads} x {rows} of {shuttle.colour}"


def mistake(*arguments: Any, **named: Any) -> str:
    """What a wrong call of `Weave` is answered inside a graph."""
    call: Any = Weave
    with pytest.raises(TypeError) as caught:
        call(*arguments, **named)
    return str(caught.value)


def test_a_node_type_looks_like_its_function() -> None:
    assert [*inspect.signature(Weave).parameters] == ["warp", "shuttle", "rows"]
    assert (Weave.__name__, Weave.__module__) == ("Weave", __name__)
    assert inspect.getdoc(Weave) == inspect.getdoc(inspect.unwrap(Weave)) and inspect.unwrap(Weave) is not Weave
    shown = pydoc.plain(pydoc.render_doc(Weave))
    assert "Weave(warp: 'Warp', shuttle: 'Shuttle', *, rows: 'int' = 1)" in shown and "rows: how many." in shown


def test_wrong_names_and_counts_are_answered_with_the_right_ones() -> None:
    with Graph():
        loom = SetUp(3)
        assert "`rows`" in mistake(loom.warp, loom.shuttle, row=2)
        assert "rows=" in mistake(loom.warp, loom.shuttle, 2)
        assert "`shuttle` (Shuttle)" in mistake(loom.warp)
        assert "`warp`" in mistake(loom.warp, loom.shuttle, warp=loom.warp)


def test_what_is_no_single_output_is_answered_with_the_one_that_fits() -> None:
    with Graph() as graph:
        loom = SetUp(3)
        answer = mistake(loom, loom.shuttle)
        assert ".warp, .shuttle" in answer and answer.endswith("such as `.warp`)")
        assert mistake(loom.warp, loom).endswith("such as `.shuttle`)")
        assert "graph" in mistake(graph, loom.shuttle)
        assert "Weave is a node type" in mistake(Weave, loom.shuttle)
    assert mistake(Loom(Warp(1), Shuttle("blue")), Shuttle("red")).endswith("such as `.warp`)")


def test_an_output_of_a_graph_is_one_output_of_a_node() -> None:
    with Graph() as graph:
        for wrong in (SetUp(3), graph, 5):
            with pytest.raises(GraphError):
                graph.output("loom", wrong)
    assert not graph.outputs


def test_swapped_inputs_are_named_inside_a_graph_and_outside(storeless: Engine) -> None:
    wrong: Any = Weave
    with Graph() as graph:
        loom = SetUp(3)
        graph.output("cloth", wrong(loom.shuttle, loom.warp))
    problems = storeless.check(graph).problems
    assert [(problem.code, problem.input) for problem in problems] == [
        ("wrong-type", "warp"),
        ("wrong-type", "shuttle"),
    ]
    assert all("`warp`" in problem.hint and "`shuttle`" in problem.hint for problem in problems)
    with pytest.raises(InputError) as caught:
        wrong(Shuttle("red"), Warp(3))
    assert "`warp`" in caught.value.hint and "`shuttle`" in caught.value.hint


def test_a_problem_names_the_line_that_made_the_node(storeless: Engine) -> None:
    wrong: Any = Weave
    with Graph(title="inner") as inner:
        inner.output("cloth", wrong(1, Shuttle))
    with Graph() as graph:
        graph.output("cloth", inner(id="sub"))
        inner(id="other", thread=1)
    found = {problem.node: problem.made_at for problem in storeless.check(graph).problems}
    first = inspect.getsourcelines(test_a_problem_names_the_line_that_made_the_node)[1]
    assert found["sub/weave"] == f"{__file__}:{first + 3}" and found["other"] == f"{__file__}:{first + 6}"


def test_the_line_is_in_no_file_and_in_no_comparison() -> None:
    graphs = []
    for _ in range(2):
        with Graph() as graph:
            SetUp(3)
        graphs.append(graph)
    assert graphs[0] == graphs[1] == document.read(document.write(graphs[0]))
    assert b"made_at" not in document.write(graphs[0]) and __file__.encode() not in document.write(graphs[0])
