"""A node that runs out of memory is run again with more room; what a failed call held is given back."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch

from tests.engine.weights.test_residency import Layer
from weft.engine import INJECTED, Context, Engine, Graph, InputError, NodeError, node
from weft.engine.out_of_memory import is_out_of_memory

FAULTS: list[Callable[[], BaseException]] = [
    MemoryError,
    lambda: RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    lambda: RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    lambda: RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
]


@pytest.mark.wide
@pytest.mark.parametrize("fault", FAULTS)
def test_a_node_has_a_second_try_with_the_weights_of_others_evicted(
    fault: Callable[[], BaseException], engine: Engine
) -> None:
    calls: list[int] = []

    @node
    def Holds(*, context: Context = INJECTED) -> int:
        """Use weights, which stay on the device."""
        with context.weights(Layer("a"), torch.nn.Module):
            return 1

    @node(lane="gpu")
    def Greedy(number: int, *, context: Context = INJECTED) -> int:
        """Lack memory once."""
        calls.append(engine._residency.used)
        if len(calls) == 1:
            raise fault()
        return number

    with Graph() as graph:
        graph.output("number", Greedy(Holds()))
    result = engine.run(graph)
    assert result.outputs == {"number": 1}
    assert calls[0] > 0 and calls[1] == 0
    assert [problem.code for problem in result.warnings] == ["out-of-memory"]


def test_a_node_that_lacks_memory_twice_has_failed(engine: Engine) -> None:
    calls: list[int] = []

    @node
    def Greedy(number: int) -> int:
        """Lack memory."""
        calls.append(1)
        raise MemoryError

    with Graph() as graph:
        graph.output("number", Greedy(1))
    (failure,) = engine.execute(engine.plan(graph)).failures
    assert isinstance(failure.cause, InputError) and failure.cause.code == "out-of-memory"
    assert is_out_of_memory(failure.cause)
    assert len(calls) == 2


def test_other_faults_are_no_lack_of_memory() -> None:
    assert not any(map(is_out_of_memory, (RuntimeError("shapes"), ValueError("out of memory"), None)))


def test_a_failed_call_holds_on_to_nothing(engine: Engine) -> None:
    class Large:
        """Stands for a tensor on a device."""

    held: list[weakref.ref[Large]] = []

    def draws(large: Large) -> None:
        raise ValueError("no")

    @node
    def Fails(number: int) -> int:
        """Fail with something large in its variables."""
        large = Large()
        held.append(weakref.ref(large))
        try:
            draws(large)
        except ValueError as fault:
            raise RuntimeError("worse") from fault
        return number

    with Graph() as graph:
        graph.output("number", Fails(1))
    gc.disable()  # what follows must not depend on a collection
    try:
        result = engine.execute(engine.plan(graph))
        assert held and held[0]() is None
    finally:
        gc.enable()
    (failure,) = result.failures
    assert isinstance(failure, NodeError) and _lines(failure.cause) > 1


def _lines(fault: Any) -> int:
    """The calls in a traceback."""
    count, at = 0, fault.__traceback__
    while at is not None:
        count, at = count + 1, at.tb_next
    return count
