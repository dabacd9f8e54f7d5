"""Graph files to graphs: what JSON says is what the graph holds."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest

from weft.engine import Graph, GraphError, Link
from weft.engine.errors import MAX_PROBLEMS
from weft.engine.graph.document import read, write


def first_input(literal: str) -> Any:
    """What a graph holds for an input that is given as this JSON text."""
    text = f'{{"weft": 1, "nodes": {{"a": {{"type": "T", "inputs": {{"x": {literal}}}}}}}}}'
    return read(text).nodes["a"].inputs["x"]


@pytest.mark.parametrize(
    ("literal", "held"),
    [
        ("5", 5),
        ("5.0", 5.0),
        ("1e3", 1000.0),
        ('"\\ud83d\\ude00"', "\N{GRINNING FACE}"),
        ('"\\\\ud800"', "\\ud800"),
        ("18446744073709551615", 2**64 - 1),
        ('{"link": "b.out"}', Link("b", "out")),
        ('[1, {"link": "b"}]', (1, Link("b"))),
        ('{"value": {"link": "b"}}', {"link": "b"}),
        ('{"value": [1, [2]]}', (1, (2,))),
    ],
)
def test_literals_and_links(literal: str, held: object) -> None:
    found = first_input(literal)
    assert found == held and type(found) is not bool


@pytest.mark.parametrize("number", ["18446744073709551616", "-1e999", "NaN", '[1, {"value": {"k": NaN}}]'])
def test_an_input_with_a_number_that_nothing_holds_is_left_out(number: str) -> None:
    graph = read(f'{{"weft": 1, "nodes": {{"a": {{"type": "T", "inputs": {{"x": {number}, "y": 1}}}}}}}}')
    assert dict(graph.nodes["a"].inputs) == {"y": 1}
    assert [(fault.code, fault.where) for fault in graph.faults] == [("not-a-number", "a.x")]


def test_what_a_file_writes_is_small_and_ordered() -> None:
    with Graph(title="Empty") as graph:
        pass
    assert json.loads(write(graph)) == {
        "$schema": "../schema/graph.schema.json",
        "weft": 1,
        "title": "Empty",
        "nodes": {},
    }
    assert write(graph, schema=None).startswith(b'{\n  "weft": 1,\n')


def test_keys_given_twice_among_many_are_found_at_once() -> None:
    names = ", ".join(f'"n{n % 20_000}": {{"type": "T"}}' for n in range(40_000))
    with pytest.raises(GraphError) as raised:
        read(f'{{"weft": 1, "nodes": {{{names}}}}}')
    *faults, last = raised.value.problems
    assert (len(faults), last.code) == (MAX_PROBLEMS, "more-problems")
    assert {fault.code for fault in faults} == {"duplicate-key"}


def test_a_graph_is_written_as_json_that_others_read() -> None:
    text = '{"weft": 1, "nodes": {"a": {"type": "T", "inputs": {"x": {"value": {"k": [1, {}]}}}}}}'
    assert orjson.loads(write(read(text), schema=None)) == json.loads(text)


@pytest.mark.parametrize("wrong", [[1], ["a", {"b": 1}], [["a"]], "a", {"0": 1}, None])
@pytest.mark.parametrize("inside", [False, True])
def test_keywords_that_are_no_texts_are_one_problem_and_hide_no_other(wrong: object, inside: bool) -> None:
    tree: dict[str, Any] = {"weft": 1, "nodes": {"a": {"type": "T", "inputs": {}, "x": 1}}, "keywords": wrong}
    if inside:
        tree = {"weft": 1, "nodes": {}, "graphs": {"inner": tree}}
    assert {problem.code for problem in read(json.dumps(tree)).faults} == {"malformed-value", "unknown-key"}
