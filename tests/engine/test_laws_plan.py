"""What a plan says is what its run does, and that is the least that can be done: random graphs, edits and restarts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engine.random_graphs import TYPES, Model, edited, grown, own_words
from weft.engine import Engine, Graph, Plan, events
from weft.engine.planning.planner import State, Step
from weft.engine.store.memory import MemoryStore

RANDOM = st.randoms(use_true_random=False)

STOPPED = (events.NodeFailed, events.NodeBlocked)
ENDS: Mapping[State, tuple[type, ...]] = {
    "run": (events.NodeFinished, *STOPPED),
    "cached": (events.NodeCached,),
    "undecided": (events.NodeFinished, events.NodeCached, *STOPPED),
}
"""How a node may end, by its state in the plan."""


def assert_sessions(chance: Random, graph: Graph, engine: Callable[[], Engine]) -> None:
    """Run a graph, edits of it and earlier ones of these again, in one engine or in a new one each time."""
    versions, model, current = [graph], Model(), engine()
    for _ in range(4):
        current = engine() if chance.random() < 0.4 else current
        assert_obeyed(current, graph, model)
        graph = chance.choice(versions) if chance.random() < 0.3 else edited(chance, graph)
        versions.append(graph)


def assert_obeyed(engine: Engine, graph: Graph, model: Model) -> None:
    """A run does what its plan states, computes what the model says must be, and gives what the model gives."""
    planned, heard = engine.plan(graph), list[events.Event]()
    assert all(is_open(step, planned, model) for step in planned.of("undecided"))
    result = engine.execute(planned, listener=heard.append)
    model.run(graph)
    assert_follows(planned, heard)
    assert sorted(model.keys[id] for id in nodes_of(heard, events.NodeStarted)) == sorted(model.computed)
    assert set(nodes_of(heard, events.NodeBlocked)) == model.outputs.keys() - model.keys.keys()
    given = {name: (model.outputs[link.node], str(link.output)) for name, link in graph.outputs.items()}
    assert result.outputs == {name: outputs[output] for name, (outputs, output) in given.items() if outputs}


def is_open(undecided: Step, planned: Plan, model: Model) -> bool:
    """Whether a result of an undecided node may be there: one that says the same has run, or may in this plan."""
    words = {step.call.id: own_words(planned.checked.graph.nodes[step.call.id]) for step in planned.of(*ENDS)}
    stated = words.pop(undecided.call.id)
    return stated in model.spoken or stated in words.values()


def nodes_of(heard: Sequence[events.Event], *kinds: type) -> list[str]:
    """The nodes that events of some kinds are about."""
    return [event.plain()["node"] for event in heard if isinstance(event, kinds)]


def assert_follows(planned: Plan, heard: Sequence[events.Event]) -> None:
    """Each node ends as the plan states; an undecided one after those that it waits for; others are not heard of."""
    steps = [*planned.of("run", "cached", "undecided")]
    assert sorted(nodes_of(heard, *ENDS["undecided"])) == sorted(step.call.id for step in steps)
    for step in steps:
        place = next(place for place, event in enumerate(heard) if event.plain().get("node") == step.call.id)
        assert nodes_of(heard, *ENDS[step.state]).count(step.call.id) == 1
        assert {*step.after} <= {*nodes_of(heard[:place], *ENDS["undecided"])}


@settings(max_examples=60)
@given(RANDOM)
def test_a_run_does_what_its_plan_says(chance: Random) -> None:
    with TemporaryDirectory() as folder:
        store = MemoryStore()
        assert_sessions(chance, grown(chance), lambda: Engine(store=store, output=folder, device="cpu"))


@settings(max_examples=20)
@given(RANDOM)
def test_a_run_does_what_its_plan_says_after_restarts(chance: Random) -> None:
    with TemporaryDirectory() as folder:
        assert_sessions(
            chance, grown(chance), lambda: Engine(store=Path(folder) / "store", output=folder, device="cpu")
        )


@settings(max_examples=20)
@given(RANDOM)
def test_a_run_does_what_its_plan_says_where_nodes_fail(chance: Random) -> None:
    with TemporaryDirectory() as folder:
        store = MemoryStore()
        assert_sessions(chance, grown(chance, tuple(TYPES)), lambda: Engine(store=store, output=folder, device="cpu"))
