"""Each rule finds the problems of its kind in a draft, and nothing in a draft without them."""

from __future__ import annotations

from functools import reduce
from typing import Annotated, Any, NamedTuple, cast

import pytest

from tests.refusals import refused
from weft.engine import NOT_ALWAYS, Collect, Engine, Gives, Graph, Limits, Link, Node, NodeType, SearchPaths, node
from weft.engine.checking import rules
from weft.engine.checking.draft import Draft
from weft.engine.checking.inlining import Flat, Target
from weft.engine.checking.passes import PASSES
from weft.engine.spec.catalog import Catalog
from weft.engine.spec.control_flow import TYPES


def completed(nodes: dict[str, Node], outputs: dict[str, Link], **parts: Any) -> Draft:
    """A draft after every pass."""
    targets = parts.pop("targets", [])
    flat = Flat(nodes, outputs=outputs, targets=targets)
    return reduce(
        lambda draft, one: one(draft),
        PASSES,
        Draft(
            flat,
            Catalog({**TYPES, "Halve": cast(NodeType, Halve), "Shout": cast(NodeType, Shout)}),
            SearchPaths(),
            Limits(),
            **parts,
        ),
    )


class Halves(NamedTuple):
    """Two texts, of which the second is not always given."""

    first: str
    second: Annotated[str, NOT_ALWAYS]


@node(traits=(Gives(lambda node: ("first", "second") if node.literals.get("whole") else ("first",)),))
def Halve(whole: bool = False) -> Halves:
    """Give one text, or two."""
    return Halves("a", cast(str, "b" if whole else None))


@node
def Shout(text: str) -> str:
    """Give a text in capitals."""
    return text.upper()


LIST = Node("Collect", {"items": (1, 2)})
OUT = {"out": Link("list")}

BAD: dict[str, tuple[Any, Draft, str, str]] = {
    "type": (rules.known_types, completed({"list": Node("Colect")}, OUT), "unknown-node-type", "list"),
    "input": (rules.known_inputs, completed({"list": Node("Collect", {"item": 1})}, OUT), "unknown-input", "list.item"),
    "missing": (rules.known_inputs, completed({"list": Node("Collect")}, OUT), "missing-input", "list.items"),
    "target": (
        rules.known_targets,
        completed({"list": LIST}, OUT, targets=[Target("list", "none", "p")]),
        "unknown-parameter-target",
        "list.none",
    ),
    "circle": (rules.no_cycles, completed({"a": Node("Count", {"items": Link("a")})}, {}), "cycle", "a"),
    "literal": (
        rules.fitting_inputs,
        completed({"list": Node("Collect", {"items": 1})}, OUT),
        "wrong-type",
        "list.items",
    ),
    "output": (rules.known_outputs, completed({"list": LIST}, {"out": Link("list", "none")}), "unknown-output", ""),
    "given": (
        rules.given_outputs,
        completed({"a": Node("Halve"), "b": Node("Shout", {"text": Link("a", "second")})}, {}),
        "output-not-given",
        "b.text",
    ),
    "selection": (rules.known_selection, completed({"list": LIST}, OUT, only=("lost",)), "unknown-node", ""),
    "nothing": (rules.something_to_run, completed({"list": LIST}, {}), "nothing-to-run", ""),
}


@pytest.mark.parametrize("name", BAD)
def test_a_rule_finds_its_problem(name: str) -> None:
    rule, draft, code, place = BAD[name]
    assert {(problem.code, problem.where) for problem in rule(draft)} >= {(code, place)}


@pytest.mark.parametrize("rule", rules.RULES, ids=lambda rule: rule.__name__)
def test_no_rule_finds_a_problem_where_there_is_none(rule: Any) -> None:
    assert not [*rule(completed({"list": LIST, "count": Node("Count", {"items": Link("list")})}, {"n": Link("count")}))]


@pytest.mark.parametrize("rule", rules.RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("name", BAD)
def test_a_rule_changes_nothing(rule: Any, name: str) -> None:
    draft = BAD[name][1]
    assert [*rule(draft)] == [*rule(draft)]


def test_problems_of_equal_items_are_reported_once() -> None:
    inner = Graph(
        nodes={"count": Node("Count", {"items": 5})},
        outputs={"n": Link("count")},
        parameters={},
    )
    nodes = {f"n{n}": Node("graph:inner") for n in range(2)}
    graph = Graph(nodes=nodes, graphs={"inner": inner}, outputs={"a": Link("n0"), "b": Link("n1")})
    assert [problem.node for problem in Engine(store=None).check(graph).problems] == ["n0/count", "n1/count"]


def test_an_output_that_is_not_given_is_none_and_a_link_to_it_fails() -> None:
    with Graph() as graph:
        halves = Halve(whole=True)
        graph.output("both", Collect([halves.first, halves.second]))
    with Engine(store=None, device="cpu") as engine:
        assert engine.run(graph).outputs["both"] == ["a", "b"]
        assert [*Halve()] == ["a", None]


def test_a_value_that_did_not_arrive_is_refused_in_words() -> None:
    @node
    def Quarter(whole: bool = False) -> Halves:
        """Give one text, or two; nobody knows before."""
        return Halves("a", cast(str, None))

    with Graph() as graph:
        graph.output("loud", Shout(Quarter().second))
    with refused("output-not-given", "text"), Engine(store=None, device="cpu") as engine:
        engine.run(graph)
