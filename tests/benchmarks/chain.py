"""What a node costs the engine: microseconds per node to load, check, plan and run chains of 2,000 and 20,000.

    python tests/benchmarks/chain.py [--rounds 5]

Each figure is the median of some rounds, each in a store of its own; the last column is what a node costs in the long
chain over what it costs in the short one.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from weft.engine import Engine, node
from weft.engine.graph.document import read
from weft.engine.store import Store
from weft.engine.store.disk import DiskStore
from weft.engine.store.memory import MemoryStore

SHORT, LONG = 2_000, 20_000
FIRST = ("load", "check", "plan", "run", "all of it")
STAGES = (*FIRST, *(f"{stage}, cached" for stage in FIRST))


@node
def Next(number: int, step: int = 1) -> int:
    """The next number."""
    return number + step


TYPES: dict[str, Any] = {"Next": Next}


def text_of(length: int) -> str:
    """A chain as a graph file."""
    nodes: dict[str, Any] = {"n0": {"type": "Next", "inputs": {"number": 0}}}
    for n in range(1, length):
        nodes[f"n{n}"] = {"type": "Next", "inputs": {"number": {"link": f"n{n - 1}"}, "step": n}}
    return json.dumps({"weft": 1, "nodes": nodes, "outputs": {"last": {"link": f"n{length - 1}"}}})


def passed(length: int, text: str, engine: Engine) -> list[float]:
    """One pass over a chain: microseconds per node to load, check, plan (with the check in it) and execute."""
    times = [time.perf_counter()]
    graph = replace(read(text), types=TYPES)
    times.append(time.perf_counter())
    engine.check(graph)
    times.append(time.perf_counter())
    planned = engine.plan(graph)
    times.append(time.perf_counter())
    engine.execute(planned)
    times.append(time.perf_counter())
    return [(after - before) / length * 1e6 for before, after in pairwise(times)]


def measured(length: int, store: Store) -> dict[str, float]:
    """One round: a first pass and one that the store serves."""
    text, engine = text_of(length), Engine(store=store, device="cpu")
    took = []
    for _ in range(2):
        load, check, plan, run = passed(length, text, engine)
        took += [load, check, plan - check, run, load + plan + run]
    return dict(zip(STAGES, took, strict=True))


def medians(length: int, kind: str, rounds: int) -> dict[str, float]:
    """Each stage's median."""
    found = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            store: Store = MemoryStore() if kind == "memory" else DiskStore(Path(folder))
            found.append(measured(length, store))
    return {stage: statistics.median(one[stage] for one in found) for stage in STAGES}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    for kind in ("memory", "disk"):
        print(f"{kind:<20}{SHORT:>10,}{LONG:>10,}     ratio")
        short, long = medians(SHORT, kind, rounds), medians(LONG, kind, rounds)
        for stage in STAGES:
            print(f"  {stage:<18}{short[stage]:>10.1f}{long[stage]:>10.1f}{long[stage] / short[stage]:>10.2f}")


if __name__ == "__main__":
    main()
