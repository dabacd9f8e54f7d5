"""Each rule finds the problems of its kind in a draft, and nothing in a draft without them."""

from __future__ import annotations

from functools import reduce
from typing import Any

import pytest

from weft.engine import Engine, Graph, Limits, Link, Node, SearchPaths
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
    return reduce(lambda draft, one: one(draft), PASSES, Draft(flat, Catalog(TYPES), SearchPaths(), Limits(), **parts))


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
