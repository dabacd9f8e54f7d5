"""An item of a computed list that cannot run fails alone; where none can run, the graph is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Annotated, Any

import pytest

from weft.engine import Artifact, Engine, Graph, GraphError, Range, node
from weft.engine.checking.refused_items import refused_items
from weft.engine.errors import Problem
from weft.engine.events import ArtifactWritten, Event, NodeBlocked, NodeFailed
from weft.engine.graph.document import read


@node
def Numbers(text: str) -> list[int]:
    """Its numbers."""
    return [int(word) for word in text.split()]


@node
def Half(number: Annotated[int, Range(0, 10)], *, extra: Annotated[int, Range(0, 10)] = 0) -> float:
    """Half of a small number."""
    return number / 2 + extra


@node
def Report(amount: float) -> Artifact:
    """A file of an amount."""
    return Artifact(str(amount).encode(), "application/json", "amount")


TYPES: dict[str, Any] = {"Numbers": Numbers, "Half": Half, "Report": Report}


def graph_of(numbers: str, whole: bool = False) -> Graph:
    inner = {
        "parameters": {"number": {"sets": ["half.number", "half.extra"]}},
        "nodes": {
            "half": {"type": "Half", "inputs": {}},
            "report": {"type": "Report", "inputs": {"amount": {"link": "half"}}},
        },
        "outputs": {"amount": {"link": "half"}},
    }
    nodes: dict[str, Any] = {
        "numbers": {"type": "Numbers", "inputs": {"text": numbers}},
        "each": {"type": "map:inner", "inputs": {"number": {"link": "numbers"}}},
    }
    outputs = {"amounts": {"link": "each"}} if whole else {}
    text = json.dumps({"weft": 1, "nodes": nodes, "graphs": {"inner": inner}, "outputs": outputs})
    return replace(read(text), types=TYPES)


def ended(engine: Engine, graph: Graph) -> dict[str, list[str]]:
    """The nodes of a run that failed, were blocked and wrote a file."""
    heard: list[Event] = []
    result = engine.execute(engine.plan(graph), listener=heard.append)
    assert result.status == "failed" and {fault.node for fault in result.failures} == {
        one.node for one in heard if isinstance(one, NodeFailed)
    }
    kinds = {"failed": NodeFailed, "blocked": NodeBlocked, "written": ArtifactWritten}
    return {name: [one.plain()["node"] for one in heard if isinstance(one, kind)] for name, kind in kinds.items()}


FOUND = {"failed": ["each/1/half"], "blocked": ["each/1/report"], "written": ["each/0/report", "each/2/report"]}


def test_others_run_where_one_item_cannot_be_used(engine: Engine) -> None:
    assert ended(engine, graph_of("3 11 4")) == FOUND


def test_the_same_where_the_list_is_in_the_store(engine: Engine) -> None:
    """And the plan shows what is refused, and why."""
    graph = graph_of("3 11 4")
    ended(engine, graph)
    planned = engine.plan(graph)
    assert {step.call.id for step in planned.of("refused")} == {"each/1/half", "each/1/report"}
    assert not planned.runs and "2 refused" in planned.summary
    assert ended(engine, graph) == FOUND
    (failed,) = engine.execute(planned).failures
    assert getattr(failed.cause, "code", "") == "out-of-range"


def test_without_a_store_and_with_one_each_node_fails_once(storeless: Engine) -> None:
    assert ended(storeless, graph_of("11 4")) == {
        "failed": ["each/0/half"],
        "blocked": ["each/0/report"],
        "written": ["each/1/report"],
    }


def test_what_needs_all_items_is_blocked(engine: Engine) -> None:
    found = ended(engine, graph_of("3 11 4", whole=True))
    assert set(found["blocked"]) == {"each/1/report", "@amounts"} and found["written"] == FOUND["written"]


@pytest.mark.parametrize("numbers", ["11", "12 11"])
def test_where_no_item_can_run_the_graph_is_refused(engine: Engine, numbers: str) -> None:
    with pytest.raises(GraphError) as raised:
        engine.run(graph_of(numbers))
    assert {problem.code for problem in raised.value.problems} == {"out-of-range"}


def test_once_it_can_be_used_only_what_was_missing_runs(engine: Engine) -> None:
    ended(engine, graph_of("3 11 4"))
    assert {*engine.run(graph_of("3 7 4")).ran} == {"numbers", "each/1/half", "each/1/report"}


def test_problems_of_other_nodes_refuse_the_graph() -> None:
    ids = ["each/0/half", "each/1/half", "other"]
    one, other, none = (Problem("no", node=node) for node in ("each/0/half", "other", ""))
    assert refused_items(ids, [one, one]) == {"each/0/half": (one,)}
    assert refused_items(ids, [one, other]) == refused_items(ids, [one, none]) == refused_items(ids, []) == {}
