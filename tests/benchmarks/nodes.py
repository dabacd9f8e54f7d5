"""What a trivial node costs in process: CPU microseconds of `engine.run(graph)`, first and when all is cached.

    python tests/benchmarks/nodes.py [--rounds 9]

Wide graphs gather independent nodes into one, deep graphs are chains. The store is in memory; a cached run gets a fresh
graph equal to the first one. Each figure is the median of some rounds (a third as many for the large graphs); `ratio`
is what a node costs in the large graph over the small one. The baseline, in the same run, is a bare loop that calls the
same functions through a dict of results, and takes them from that dict where they are there.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from weft.engine import Engine, Graph, Limits, Link, Node, node
from weft.engine.store.memory import MemoryStore

SMALL, LARGE = 1_000, 100_000
"""Nodes."""


@node
def Number(value: int) -> int:
    """A number."""
    return value


@node
def Next(number: int, step: int = 1) -> int:
    """The next number."""
    return number + step


@node
def Total(numbers: list[int]) -> int:
    """Add up."""
    return sum(numbers)


TYPES: dict[str, Any] = {"Number": Number, "Next": Next, "Total": Total}


def wide(size: int) -> Graph:
    """Independent numbers, and their sum."""
    nodes = {f"n{n}": Node("Number", {"value": n}) for n in range(size - 1)}
    nodes["out"] = Node("Total", {"numbers": tuple(map(Link, nodes))})
    return Graph(nodes=nodes, outputs={"out": Link("out")}, types=TYPES)


def deep(size: int) -> Graph:
    """A chain."""
    nodes = {"n0": Node("Number", {"value": 0})}
    for n in range(1, size):
        nodes[f"n{n}"] = Node("Next", {"number": Link(f"n{n - 1}"), "step": n})
    return Graph(nodes=nodes, outputs={"out": Link(f"n{size - 1}")}, types=TYPES)


PARTS = ("run", "  check", "  plan", "  execute", "bare loop")
ROWS = (*(f"first, {part}" for part in PARTS), *(f"cached, {part}" for part in PARTS))

SHAPES: dict[str, Callable[[int], Graph]] = {"wide": wide, "deep": deep}


def bare(graph: Graph, results: dict[str, Any]) -> None:
    """The baseline: the same functions, in order, through a dict of results."""
    for id, one in graph.nodes.items():
        if id not in results:
            values = {name: _value(given, results) for name, given in one.inputs.items()}
            results[id] = TYPES[one.type].function(**values)


def _value(given: Any, results: dict[str, Any]) -> Any:
    if isinstance(given, Link):
        return results[given.node]
    return [results[link.node] for link in given] if isinstance(given, tuple) else given


@contextmanager
def timed(found: list[float]) -> Iterator[None]:
    """Add the CPU seconds of the block."""
    gc.collect()
    started = time.process_time()
    yield
    found.append(time.process_time() - started)


def measured(shape: Callable[[int], Graph], size: int) -> list[float]:
    """One round: the figures of `ROWS`, in CPU microseconds per node."""
    limits = Limits(max_nodes=2 * LARGE)  # above the limit for graphs of strangers
    whole, parts = (Engine(store=MemoryStore(), device="cpu", limits=limits) for _ in range(2))
    results: dict[str, Any] = {}
    found: list[float] = []
    for _ in ("first", "cached"):
        graph, other = shape(size), shape(size)
        with timed(found):
            whole.run(graph)
        with timed(found):
            parts.check(other)
        with timed(found):
            planned = parts.plan(other)
        found[-1] -= found[-2]
        with timed(found):
            parts.execute(planned)
        with timed(found):
            bare(graph, results)
    return [seconds / size * 1e6 for seconds in found]


def medians(shape: Callable[[int], Graph], size: int, rounds: int) -> list[float]:
    """Each figure's median."""
    measured(shape, min(size, SMALL))
    return [statistics.median(column) for column in zip(*(measured(shape, size) for _ in range(rounds)), strict=True)]


def main() -> None:
    """Print a table for each shape."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    for name, shape in SHAPES.items():
        print(f"{name:<28}{SMALL:>10,}{LARGE:>10,}     ratio")
        small, large = medians(shape, SMALL, rounds), medians(shape, LARGE, max(rounds // 3, 1))
        for row, one, other in zip(ROWS, small, large, strict=True):
            print(f"  {row:<26}{one:>10.2f}{other:>10.2f}{other / one:>10.2f}")


if __name__ == "__main__":
    main()
