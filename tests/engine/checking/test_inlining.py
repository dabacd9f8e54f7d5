"""Subgraphs are replaced by what they stand for; parameters set what they say."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from weft.engine import Engine, Graph, GraphError, SearchPaths, node
from weft.engine.checking.inlining import inline
from weft.engine.graph.bundle import self_contained
from weft.engine.graph.document import read
from weft.engine.graph.subgraph_files import SubgraphFiles
from weft.engine.limits import Limits


class Ends(NamedTuple):
    """Two outputs."""

    low: int
    high: int


@node
def Around(middle: int, width: int = 1) -> Ends:
    """Both ends of a range."""
    return Ends(middle - width, middle + width)


@node
def Sum(numbers: list[int]) -> int:
    """Add up."""
    return sum(numbers)


TYPES: dict[str, Any] = {"Around": Around, "Sum": Sum}

AROUND: dict[str, Any] = {
    "parameters": {"width": {"sets": ["ends.width"], "max": 9}, "middle": {"sets": ["ends.middle"], "default": 100}},
    "nodes": {"ends": {"type": "Around"}},
    "outputs": {"low": {"link": "ends.low"}, "high": {"link": "ends.high"}},
}


def graph_of(nodes: dict[str, Any], out: str, **graphs: Any) -> Graph:
    """A graph with subgraphs and one output."""
    text = json.dumps({"weft": 1, "nodes": nodes, "graphs": graphs, "outputs": {"out": {"link": out}}})
    return replace(read(text), types=TYPES)


def test_a_subgraph_takes_literals_links_and_defaults(storeless: Engine) -> None:
    nodes = {
        "one": {"type": "graph:around", "inputs": {"width": 3}},
        "two": {"type": "graph:around", "inputs": {"middle": {"link": "one.high"}, "width": 5}},
        "sum": {"type": "Sum", "inputs": {"numbers": [{"link": "one.low"}, {"link": "two.low"}, 1000]}},
    }
    assert storeless.run(graph_of(nodes, "sum", around=AROUND)).outputs == {"out": 97 + 98 + 1000}


def test_members_are_named_by_path() -> None:
    graph = graph_of({"one": {"type": "graph:around", "inputs": {"width": 3}}}, "one.low", around=AROUND)
    flat = inline(graph, SearchPaths(), Limits())
    assert list(flat.nodes) == ["one/ends"] and not flat.problems
    assert str(flat.outputs["out"]) == "one/ends.low"


def test_a_subgraph_sees_the_subgraphs_around_it(storeless: Engine) -> None:
    outer = {
        "nodes": {"in": {"type": "graph:around", "inputs": {"width": 2}}},
        "outputs": {"out": {"link": "in.high"}},
    }
    graph = graph_of({"a": {"type": "graph:outer"}}, "a", outer=outer, around=AROUND)
    assert storeless.run(graph).outputs == {"out": 102}


def test_a_subgraph_has_the_keys_of_its_nodes(storeless: Engine) -> None:
    inside = graph_of({"a": {"type": "graph:around", "inputs": {"width": 3}}}, "a.low", around=AROUND)
    plain = graph_of({"b": {"type": "Around", "inputs": {"middle": 100, "width": 3}}}, "b.low")
    assert storeless.plan(inside).steps[0].recipe == storeless.plan(plain).steps[0].recipe


def test_a_bound_of_a_parameter_holds(storeless: Engine) -> None:
    graph = graph_of({"one": {"type": "graph:around", "inputs": {"width": 10}}}, "one.low", around=AROUND)
    with pytest.raises(GraphError) as raised:
        storeless.run(graph)
    (problem,) = raised.value.problems
    assert (problem.code, problem.where) == ("out-of-range", "one.width")


def test_set_reaches_through_a_parameter(storeless: Engine) -> None:
    text = json.dumps({"weft": 1, **AROUND})
    graph = replace(read(text), types=TYPES).set("middle", 7).set("width", 2)
    assert storeless.run(graph).outputs == {"low": 5, "high": 9}


def test_a_file_is_a_subgraph_and_is_held_in_a_picture(storeless: Engine, tmp_path: Path) -> None:
    (tmp_path / "around.json").write_text(json.dumps({"weft": 1, **AROUND}))
    nodes = {"a": {"type": "file:around.json", "inputs": {"width": 4}}}
    graph = replace(graph_of(nodes, "a.high"), path=tmp_path / "graph.json")
    held = replace(self_contained(graph, SubgraphFiles(SearchPaths(tmp_path), Limits())), path=None)
    assert storeless.run(graph).outputs == storeless.run(held).outputs == {"out": 104}


def test_problems_of_a_subgraph_file_name_that_file(storeless: Engine, tmp_path: Path) -> None:
    (tmp_path / "inner.json").write_text('{"weft": 1, "typo": 1, "nodes": {}}')
    graph = replace(graph_of({"a": {"type": "file:inner.json"}}, "a"), path=tmp_path / "graph.json")
    problems = storeless.check(graph).problems
    assert [problem.file for problem in problems if problem.code == "unknown-key"] == [str(tmp_path / "inner.json")]
