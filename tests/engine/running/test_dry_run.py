"""The memory that nodes need is counted by calls on shapes alone, of those steps whose need is not known."""

from __future__ import annotations

from pathlib import Path

import torch

from tests.engine.weights.test_residency import Layer
from weft.engine import INJECTED, Context, Engine, Graph, MemoryUse, all_but, node
from weft.engine.planning.planner import Plan

CALLS: list[str] = []


@node(lane="gpu", traits=(MemoryUse(all_but("seed"), lambda inputs: {"rounds": min(inputs["rounds"], 2)}),))
def Multiply(side: int, rounds: int = 1, seed: int = 0, *, context: Context = INJECTED) -> int:
    """Multiply a square matrix by itself, and read one number of the result."""
    CALLS.append(context.device)
    square = torch.ones(side, side, device=context.device)
    for _ in range(rounds):
        square = square @ square
    return side if square.sum().item() else 0


@node(lane="gpu")
def CountOthers(side: int, *, context: Context = INJECTED) -> int:
    """Count what is not 0 by a library that reads the memory of the host."""
    return int(torch.ones(side, device=context.device).numpy().astype(bool).sum())


@node(lane="gpu")
def UseWeights(number: int, *, context: Context = INJECTED) -> int:
    """Hold weights."""
    with context.weights(Layer("a"), torch.nn.Module):
        return number


def graph_of(side: int, rounds: int = 1, seed: int = 0) -> Graph:
    with Graph() as graph:
        graph.output("number", UseWeights(CountOthers(Multiply(side, rounds, seed))))
    return graph


def peaks(plan: Plan) -> dict[str, int | None]:
    return {step.call.type.name: step.memory.peak if step.memory else None for step in plan.steps}


def test_tensors_that_are_held_at_once_are_counted(engine: Engine) -> None:
    found = peaks(engine.plan(graph_of(64), memory=True))
    assert found["Multiply"] == 2 * 64 * 64 * 4
    assert found["CountOthers"] is found["UseWeights"] is None


def test_a_call_is_made_short_and_holds_for_all_that_count_alike(engine: Engine) -> None:
    CALLS.clear()
    found, again = (
        peaks(engine.plan(graph_of(64, rounds=1000, seed=seed), only=["multiply"], memory=True)) for seed in (0, 5)
    )
    assert found == again == {"Multiply": 2 * 64 * 64 * 4}
    assert CALLS == ["meta:0"]
    assert peaks(engine.plan(graph_of(64, rounds=999)))["Multiply"] is None


def test_what_lies_above_a_stored_result_is_not_called(engine: Engine, tmp_path: Path) -> None:
    graph = graph_of(64)
    engine.run(graph, only=["count_others"])
    CALLS.clear()
    plan = engine.plan(graph, memory=True)
    assert not CALLS
    (use,) = (step for step in plan.steps if step.memory)
    assert use.call.type.name == "UseWeights" and use.memory and use.memory.weights > 0


def test_nothing_is_left_on_the_device_or_switched(engine: Engine) -> None:
    engine.plan(graph_of(64), memory=True)
    assert not torch.__future__.get_overwrite_module_params_on_conversion()
    assert torch.ones(2).sum().item() == 2.0
