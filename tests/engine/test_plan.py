"""Plans say what a run does: for any graph, any edit of it and any store, the run does what the plan said."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from weft.engine import Engine, Graph, Link, Node, Plan, node
from weft.engine.store.memory import MemoryStore


@node
def Number(value: int) -> int:
    """A number."""
    return value


@node
def Sum(numbers: list[int], factor: int = 1) -> int:
    """Add up."""
    return factor * sum(numbers)


TYPES: dict[str, Any] = {"Number": Number, "Sum": Sum}


def states(plan: Plan) -> dict[str, str]:
    """The state of each node."""
    return {step.call.id: step.state for step in plan.steps}


def chain() -> Graph:
    """`first` -> `second` -> `third`, and `aside`, which nothing takes."""
    nodes = {
        "first": Node("Number", {"value": 1}),
        "second": Node("Sum", {"numbers": (Link("first"), 2)}),
        "third": Node("Sum", {"numbers": (Link("second"),)}),
        "aside": Node("Number", {"value": 5}),
    }
    return Graph(nodes=nodes, outputs={"out": Link("third")}, types=TYPES)


def test_only_what_an_output_needs_runs(engine: Engine) -> None:
    plan = engine.plan(chain())
    assert states(plan) == {"first": "run", "second": "run", "third": "run"}
    assert [step.reason for step in plan.steps] == [
        "not in the store",
        "not in the store; `first` runs before it",
        "not in the store; `second` runs before it",
    ]


def test_what_a_cached_node_takes_is_not_needed(engine: Engine) -> None:
    engine.run(chain())
    assert states(engine.plan(chain())) == {"first": "unneeded", "second": "unneeded", "third": "cached"}


def test_an_edit_runs_what_hangs_below_it(engine: Engine) -> None:
    engine.run(chain())
    changed = engine.plan(chain().set("third.factor", 2))
    assert states(changed) == {"first": "unneeded", "second": "cached", "third": "run"}
    assert str(changed).splitlines()[-1] == "1 to run, 1 cached, 1 not needed"


def test_only_picks_nodes(engine: Engine) -> None:
    assert states(engine.plan(chain(), only=["second"])) == {"first": "run", "second": "run"}
    assert engine.run(chain(), only=["aside"]).ran == ("aside",)


def test_a_plan_is_json_values(engine: Engine) -> None:
    step = engine.plan(chain()).steps[0].plain()
    assert step.pop("key").isalnum()
    assert step == {"node": "first", "type": "Number", "state": "run", "reason": "not in the store", "tier": ""}


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """A graph of up to seven nodes, each taking from some before it; some of them are outputs."""
    nodes: dict[str, Node] = {}
    for index in range(draw(st.integers(1, 7))):
        above = draw(st.lists(st.sampled_from([*nodes]), max_size=3)) if nodes else []
        inputs = {"numbers": (*map(Link, above), draw(st.integers(0, 2))), "factor": draw(st.integers(1, 2))}
        nodes[f"n{index}"] = Node("Sum", inputs) if index else Node("Number", {"value": draw(st.integers(0, 2))})
    wanted = draw(st.lists(st.sampled_from([*nodes]), min_size=1, max_size=3, unique=True))
    return Graph(nodes=nodes, outputs={id: Link(id) for id in wanted}, types=TYPES)


def edited(graph: Graph, seed: int) -> Graph:
    """The graph with one literal changed and its nodes in another order."""
    chance = random.Random(seed)
    id = chance.choice([id for id in graph.nodes])
    name = "value" if graph.nodes[id].type == "Number" else "factor"
    changed = graph.set(f"{id}.{name}", chance.randint(0, 3))
    return replace(changed, nodes=dict(chance.sample([*changed.nodes.items()], len(changed.nodes))))


@given(graphs(), st.lists(st.integers(0, 2**16), max_size=4))
def test_a_run_does_what_its_plan_says_and_caches_change_no_output(graph: Graph, edits: list[int]) -> None:
    engine, storeless = Engine(store=MemoryStore(), device="cpu"), Engine(store=None, device="cpu")
    for seed in [None, *edits]:
        graph = graph if seed is None else edited(graph, seed)
        plan = engine.plan(graph)
        result = engine.execute(plan)
        assert [*result.ran] == [step.call.id for step in plan.of("run")]
        assert [*result.cached] == [step.call.id for step in plan.of("cached")]
        assert result.outputs == storeless.run(graph).outputs
    assert not [*engine.plan(graph).of("run")]


def test_planning_changes_nothing(engine: Engine, tmp_path: Path) -> None:
    assert engine.plan(chain()) == engine.plan(chain())
    assert not (tmp_path / "store").exists() and not (tmp_path / "output").exists()
