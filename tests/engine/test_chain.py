"""A chain of 20,000 nodes loads, checks, plans and runs: nothing recurses, and nothing grows faster than the graph."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from weft.engine import Engine, Graph, GraphError, node
from weft.engine.graph.document import read
from weft.engine.store.memory import MemoryStore

LENGTH = 20_000


@node
def Next(number: int, step: int = 1) -> int:
    """The next number."""
    return number + step


TYPES: dict[str, Any] = {"Next": Next}


def chain(first: object) -> Graph:
    """A chain of nodes, each taking from the one before; the first takes `first`."""
    links = [first, *({"link": f"n{n}"} for n in range(LENGTH - 1))]
    nodes = {f"n{n}": {"type": "Next", "inputs": {"number": link}} for n, link in enumerate(links)}
    text = json.dumps({"weft": 1, "nodes": nodes, "outputs": {"last": {"link": f"n{LENGTH - 1}"}}})
    return replace(read(text), types=TYPES)


def test_a_long_chain_runs_and_is_cached() -> None:
    engine, graph = Engine(store=MemoryStore(), device="cpu"), chain(0)
    assert engine.run(graph).outputs == {"last": LENGTH}
    assert len(engine.run(graph).cached) == 1
    assert engine.run(graph.set(f"n{LENGTH - 1}.step", 5)).ran == (f"n{LENGTH - 1}",)


def test_a_long_circle_is_found() -> None:
    with pytest.raises(GraphError) as caught:
        Engine(store=None, device="cpu").plan(chain({"link": f"n{LENGTH - 1}"}))
    assert [problem.code for problem in caught.value.problems] == ["cycle"]
