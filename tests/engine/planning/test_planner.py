"""Plans say what a run does: for any graph, any edit of it and any store, the run does what was planned."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from hypothesis import given, settings
from hypothesis import strategies as st

from weft.engine import ADDED_LATER, Engine, Given, Graph, Link, Node, Plan, named, node
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
        "`first` runs",
        "`second` runs",
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
    assert step.pop("recipe").isalnum() and step.pop("content").isalnum()
    assert step.pop("expected") is step.pop("memory") is None and step.pop("after") == ()
    assert step == {"node": "first", "type": "Number", "state": "run", "reason": "not in the store", "tier": ""}


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """A graph of up to seven nodes, each taking from some before it; some of them are outputs."""
    nodes: dict[str, Node] = {}
    for index in range(draw(st.integers(1, 7))):
        above = draw(st.lists(st.sampled_from([*nodes]), max_size=3)) if nodes else []
        inputs: dict[str, Given] = {
            "numbers": (*map(Link, above), draw(st.integers(0, 2))),
            "factor": draw(st.integers(1, 2)),
        }
        nodes[f"n{index}"] = Node("Sum", inputs) if index else Node("Number", {"value": draw(st.integers(0, 2))})
    wanted = draw(st.lists(st.sampled_from([*nodes]), min_size=1, max_size=3, unique=True))
    return Graph(nodes=nodes, outputs={id: Link(id) for id in wanted}, types=TYPES)


def edited(graph: Graph, seed: int) -> Graph:
    """The graph with one literal changed and its nodes in another order."""
    chance = random.Random(seed)
    id = chance.choice(list(graph.nodes))
    name = "value" if graph.nodes[id].type == "Number" else "factor"
    changed = graph.set(f"{id}.{name}", chance.randint(0, 3))
    return replace(changed, nodes=dict(chance.sample([*changed.nodes.items()], len(changed.nodes))))


@settings(max_examples=40)
@given(graphs(), st.lists(st.integers(0, 2**16), max_size=4))
def test_a_run_does_what_its_plan_says_and_caches_change_no_output(graph: Graph, edits: list[int]) -> None:
    engine, storeless = Engine(store=MemoryStore(), device="cpu"), Engine(store=None, device="cpu")
    for seed in [None, *edits]:
        graph = graph if seed is None else edited(graph, seed)
        plan = engine.plan(graph)
        result = engine.execute(plan)
        run, cached, undecided = ({step.call.id for step in plan.of(state)} for state in ("run", "cached", "undecided"))
        assert run <= {*result.ran} and cached <= {*result.cached}
        assert {*result.ran} ^ {*result.cached} == run | cached | undecided
        assert result.outputs == storeless.run(graph).outputs
    assert not [*engine.plan(graph).of("run")]


@node
def Parity(number: int) -> int:
    """0 for an even number, 1 for an odd one."""
    return number % 2


def parity_of(value: int) -> Graph:
    """A number, whether it is odd, and something below that."""
    with Graph() as graph:
        named("below", Sum)([named("parity", Parity)(named("number", Number)(value))])
    return replace(graph, outputs={"out": Link("below")})


def test_an_equal_result_leaves_what_is_below_it_cached(engine: Engine) -> None:
    engine.run(parity_of(3))
    plan = engine.plan(parity_of(5))
    assert states(plan) == {"number": "run", "parity": "undecided", "below": "undecided"}
    result = engine.execute(plan)
    assert (result.ran, result.cached) == (("number", "parity"), ("below",))


def test_an_equal_result_is_known_in_another_process(tmp_path: Path) -> None:
    for value, ran in ((3, ("number", "parity", "below")), (5, ("number", "parity")), (5, ()), (3, ())):
        with Engine(store=tmp_path, device="cpu") as engine:
            assert engine.run(parity_of(value)).ran == ran


def test_nodes_with_equal_recipes_run_once(engine: Engine) -> None:
    with Graph() as graph:
        twins = [named(id, Sum)([named(f"number_{id}", Number)(value), 1]) for id, value in (("a", 2), ("b", 2))]
        named("both", Sum)(twins)
    result = engine.run(replace(graph, outputs={"out": Link("both")}))
    assert (result.ran, result.cached) == (("number_a", "a", "both"), ("number_b", "b"))


def test_reasons_say_what_changed(engine: Engine) -> None:
    engine.run(chain())
    changed = chain().set("first.value", 2).set("third.factor", 3)
    reasons = {step.call.id: step.reason for step in engine.plan(changed).steps}
    assert reasons["first"] == "`value` 1 -> 2"
    assert reasons["second"] == "depends on the result of `first`"
    assert reasons["third"] == "`factor` 1 -> 3"


def test_planning_changes_nothing(engine: Engine, tmp_path: Path) -> None:
    assert engine.plan(chain()) == engine.plan(chain())
    assert not (tmp_path / "store").exists() and not (tmp_path / "output").exists()


def recipe_of(function: Any, **inputs: Any) -> str:
    """The recipe key of a graph of one node."""
    with Graph() as graph:
        node(function)(**inputs, id="one")
    with Engine(store=None, history=False) as engine:
        (step,) = engine.plan(replace(graph, outputs={"value": Link("one")})).steps
    return str(step.recipe)


def test_an_input_added_later_is_part_of_no_key_while_it_has_its_default() -> None:
    def before(value: int) -> int:
        return value

    def after(value: int, factor: Annotated[int, ADDED_LATER] = 1) -> int:
        return value * factor

    after.__name__ = before.__name__ = "Grown"
    old = recipe_of(before, value=2)
    assert recipe_of(after, value=2) == recipe_of(after, value=2, factor=1) == old
    assert recipe_of(after, value=2, factor=3) != old
