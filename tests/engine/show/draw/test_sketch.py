"""A graph as it is drawn: boxes with their literals, wires between their sockets."""

from __future__ import annotations

from typing import Any

from weft.engine import node
from weft.engine.graph.document import read
from weft.engine.show.draw.sketch import Box, Sketch, Wire, sketch
from weft.engine.spec.catalog import Catalog


@node(category="numbers")
def Add(a: int, b: int = 1) -> int:
    """Add."""
    return a + b


CATALOG = Catalog({"Add": Add})  # type: ignore[dict-item]  # a checker sees the function


def drawn(nodes: str, more: str = "") -> Sketch:
    """The sketch of a graph file with these nodes."""
    return sketch(read(f'{{"weft": 1, "nodes": {{{nodes}}}{more}}}'), CATALOG)


def test_a_node_is_a_box_with_its_inputs_in_the_types_order() -> None:
    nodes = '"x": {"type": "Add", "inputs": {"a": 1}}, "y": {"type": "Add", "inputs": {"b": 2, "a": {"link": "x"}}}'
    found = drawn(nodes)
    assert found.boxes["y"] == Box("y", "Add", "numbers", ("a",), (("b", "2"),), ("int",))
    assert found.wires == (Wire("x", "int", "y", "a"),)


def test_an_output_of_the_graph_is_a_box() -> None:
    found = drawn('"x": {"type": "Add"}', ', "outputs": {"sum": {"link": "x"}}')
    assert found.boxes["/sum"] == Box("sum", "", inputs=("output",))
    assert found.wires == (Wire("x", "int", "/sum", "output"),)


def test_literals_are_shown_as_json_after_the_parameter_that_sets_them() -> None:
    nodes = '"x": {"type": "Add", "inputs": {"a": 3, "b": {"value": {"k": [1, {}]}}}}'
    parameters: Any = ', "parameters": {"first": {"sets": ["x.a"]}, "other": {"sets": ["x.c"]}}'
    literals = dict(drawn(nodes, parameters).boxes["x"].literals)
    assert literals == {"a": "<first> 3", "b": '{"k": [1, {}]}', "c": "<other>"}


def test_unknown_types_have_the_outputs_that_links_ask_for() -> None:
    nodes = '"x": {"type": "What"}, "y": {"type": "Add", "inputs": {"a": {"link": "x.p"}, "b": {"link": "x.q"}}}'
    assert drawn(nodes).boxes["x"] == Box("x", "What", outputs=("p", "q"))


def test_links_that_lead_nowhere_are_left_out() -> None:
    found = drawn('"x": {"type": "Add", "inputs": {"a": {"link": "gone"}}}')
    assert found.wires == () and found.boxes["x"].inputs == ("a",)


def test_a_subgraphs_outputs_are_its_sockets() -> None:
    inner = '{"nodes": {"x": {"type": "Add"}}, "outputs": {"sum": {"link": "x"}}}'
    found = drawn('"part": {"type": "graph:inner"}', f', "graphs": {{"inner": {inner}}}')
    assert found.boxes["part"] == Box("part", "graph:inner", "subgraph", outputs=("sum",))
