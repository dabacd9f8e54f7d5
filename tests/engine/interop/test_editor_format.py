"""Editor files become nodes by class and inputs by name: what only an editor has is resolved."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from weft.engine.interop.definitions import definitions_of
from weft.engine.interop.foreign_formats import needed, problems_of, read_foreign
from weft.engine.interop.foreign_graph import ForeignGraph, ForeignLink

INT = {"name": "number", "type": "INT", "widget": True, "default": 0}
DEFINITIONS = definitions_of(
    {
        "Source": {"inputs": [INT], "outputs": [{"name": "OUT", "type": "THING"}]},
        "Change": {
            "inputs": [
                {"name": "thing", "type": "THING"},
                {"name": "seed", "type": "INT", "widget": True},
                {"name": "text", "type": "STRING", "widget": True, "default": ""},
            ],
            "outputs": [{"name": "THING", "type": "THING"}],
        },
        "Sink": {"inputs": [{"name": "thing", "type": "THING"}], "outputs": [], "output_node": True},
    }
)

Tree = dict[str, Any]


def node(id: Any, type: str, values: Any = (), mode: int = 0, link: Any = None, **more: Any) -> Tree:
    """A node with one input and one output of the type THING."""
    slots = [{"name": "thing", "type": "THING", "link": link}] if type not in ("Source", "PrimitiveNode") else []
    outputs = [{"name": "THING", "type": "THING", "links": []}]
    return {"id": id, "type": type, "mode": mode, "inputs": slots, "outputs": outputs, "widgets_values": values, **more}


def read(nodes: list[Tree], links: list[Any], **more: Any) -> ForeignGraph:
    return read_foreign({"nodes": nodes, "links": links, "version": 0.4, **more}, DEFINITIONS)


def chain(*between: Tree, **more: Any) -> ForeignGraph:
    """A source, some nodes and a sink in a row; the links are numbered from 1."""
    nodes = [node(1, "Source", [5]), *between, node(9, "Sink")]
    pairs = enumerate(pairwise(nodes), 1)
    links = [[at, before["id"], 0, one["id"], 0, "THING"] for at, (before, one) in pairs]
    for at, one in enumerate(nodes[1:]):
        one["inputs"][0]["link"] = at + 1
    return read(nodes, links, **more)


def inputs(graph: ForeignGraph, id: str) -> Mapping[str, Any]:
    return graph.nodes[id].inputs


def test_widgets_are_named_in_order_past_what_the_editor_does_with_a_seed() -> None:
    graph = chain(node(2, "Change", [7, "randomize", "hello"]))
    assert inputs(graph, "2") == {"seed": 7, "text": "hello", "thing": ForeignLink("1", 0)}


def test_short_lists_leave_defaults_and_long_ones_have_a_tail_that_only_shows_something() -> None:
    assert inputs(chain(node(2, "Change", [7])), "2").keys() == {"seed", "thing"}
    assert inputs(chain(node(2, "Change", [7, "fixed", "hello", "shown"])), "2")["text"] == "hello"


def test_values_may_come_by_name() -> None:
    assert inputs(chain(node(2, "Change", {"text": "hello", "seed": 3})), "2")["seed"] == 3


def test_bypassed_nodes_and_reroutes_pass_their_input_and_muted_ones_nothing() -> None:
    passed = chain(node(2, "Change", [7], mode=4), node(3, "Reroute"))
    assert inputs(passed, "9") == {"thing": ForeignLink("1", 0)} and passed.nodes.keys() == {"1", "9"}
    muted = chain(node(2, "Change", [7], mode=2))
    assert inputs(muted, "9") == {}
    problems = [*problems_of(muted, DEFINITIONS, needed(muted, DEFINITIONS))]
    assert [(one.node, one.input, one.code) for one in problems] == [("9", "thing", "missing-input")]


def test_the_value_of_a_primitive_is_that_of_every_input_that_it_is_linked_to() -> None:
    changed = node(2, "Change", [7, "fixed", "hello"], link=1)
    changed["inputs"].append({"name": "seed", "type": "INT", "link": 2, "widget": {"name": "seed"}})
    links = [[1, 1, 0, 2, 0, "THING"], [2, 3, 0, 2, 1, "INT"], [3, 2, 0, 9, 0, "THING"]]
    graph = read(
        [node("1", "Source", [5]), changed, node(3, "PrimitiveNode", [42, "fixed"]), node(9, "Sink", link=3)], links
    )
    assert inputs(graph, "2")["seed"] == 42 and inputs(graph, "2")["text"] == "hello"


def test_variables_are_followed_by_name() -> None:
    nodes = [
        node(1, "Source", [5]),
        node(2, "SetNode", ["it"], link=1),
        node(3, "GetNode", ["it"]),
        node(9, "Sink", link=2),
    ]
    assert inputs(read(nodes, [[1, 1, 0, 2, 0, "THING"], [2, 3, 0, 9, 0, "THING"]]), "9") == {
        "thing": ForeignLink("1", 0)
    }


def subgraph(mode: int = 0, **instance: Any) -> ForeignGraph:
    """A chain through a subgraph, which is in version 1 and has a Change inside."""
    inner = node(7, "Change", [7, "fixed", "inside"], link=1)
    inner["inputs"].append({"name": "text", "type": "STRING", "link": 3, "widget": {"name": "text"}})
    keys = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
    links = [(1, -10, 0, 7, 0, "THING"), (2, 7, 0, -20, 0, "THING"), (3, -10, 1, 7, 1, "STRING")]
    definition = {
        "id": "aa-bb",
        "name": "Inside",
        "nodes": [inner],
        "links": [dict(zip(keys, one, strict=True)) for one in links],
        "inputs": [{"name": "thing", "type": "THING"}, {"name": "text", "type": "STRING"}],
        "outputs": [{"name": "THING", "type": "THING"}],
    }
    return chain(node(2, "aa-bb", mode=mode, **instance), definitions={"subgraphs": [definition]})


def test_subgraphs_are_inlined_with_the_values_that_they_promote() -> None:
    plain = subgraph()
    assert inputs(plain, "2:7") == {"seed": 7, "text": "inside", "thing": ForeignLink("1", 0)}
    assert inputs(plain, "9") == {"thing": ForeignLink("2:7", 0)}
    given = subgraph(values=["outside", 11], properties={"proxyWidgets": [["-1", "text"], ["7", "seed"]]})
    assert inputs(given, "2:7") == {"seed": 11, "text": "outside", "thing": ForeignLink("1", 0)}


def test_the_mode_of_a_subgraph_holds_for_all_inside() -> None:
    assert inputs(subgraph(mode=4), "9") == {"thing": ForeignLink("1", 0)} and len(subgraph(mode=4).nodes) == 2
    assert inputs(subgraph(mode=2), "9") == {}


def test_reroutes_in_a_circle_are_a_problem() -> None:
    nodes = [node(1, "Reroute", link=2), node(2, "Reroute", link=1), node(9, "Sink", link=3)]
    graph = read(nodes, [[1, 1, 0, 2, 0, "*"], [2, 2, 0, 1, 0, "*"], [3, 2, 0, 9, 0, "*"]])
    assert [one.code for one in graph.faults] == ["cycle"]


def test_files_that_lie_are_read_as_far_as_they_can_be() -> None:
    nodes: list[Any] = [node(1, "Source", [5]), {"id": None, "type": 3}, "text", node(9, "Sink", link="1")]
    graph = read(nodes, [["1", "1", "0", 9, 0, "THING"], [2], {"id": 5}])
    assert inputs(graph, "9") == {"thing": ForeignLink("1", 0)} and len(graph.faults) == 4
