"""Mutated graph files: `check` and `plan` refuse them or answer, within time and memory, and touch nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from random import Random

import pytest

from tests.engine.random_graphs import grown
from tests.fuzz.budget import Budgeted
from tests.fuzz.fuzzing import IN_SUITE, SHORT, Cases, counts, hold
from tests.fuzz.graph_mutations import INNER, MUTATIONS
from tests.fuzz.mutations import documents
from weft.engine import Engine
from weft.engine.graph.document import write

GRAPHS = Path(__file__).parents[2] / "graphs"
FIRST = json.dumps(
    {"weft": 1, "nodes": {"a": {"type": "Seeds", "inputs": {"first": 1}}}, "outputs": {"o": {"link": "a"}}}
)


@cache
def _engine(folder: Path) -> Engine:
    return Engine(store=None, device="cpu", models=[folder / "models"], inputs=[folder], output=folder / "output")


def checked(text: bytes, folder: Path) -> None:
    """Check a graph file, and plan the graph if nothing is wrong with it; every problem and step is spelled."""
    path = folder / "graph.json"
    path.write_bytes(text)
    engine = _engine(folder)
    found = engine.check(path)
    for problem in found.problems:
        json.dumps(problem.plain())
        str(problem)
    if not found.problems:
        str(engine.plan(path))


def _seeds() -> Iterator[bytes]:
    yield from (path.read_bytes() for path in sorted(GRAPHS.glob("*.json")))
    for number in range(20):
        yield write(grown(Random(number)), schema=None)


@pytest.fixture
def child(tmp_path: Path) -> Iterator[Budgeted[bytes]]:
    folder, outside = tmp_path / "inside", tmp_path / "outside"
    for path in (folder, outside):
        path.mkdir()
        (path / "graph.json").write_text(FIRST)
    (folder / "part.json").write_text(json.dumps({"weft": 1, **INNER}))
    with Budgeted(checked, folder, FIRST.encode()) as made:
        yield made


def graphs() -> Cases[bytes]:
    """Mutations of the graphs that come with Weft, and of random ones."""
    return documents([*_seeds()], MUTATIONS)


@counts(10_000)
def test_mutated_graphs_are_refused_or_planned(count: int, child: Budgeted[bytes], tmp_path: Path) -> None:
    cases = graphs()
    most = SHORT if count == IN_SUITE else None
    hold(lambda chance: cases(chance)[:most], count, child, tmp_path / "spoil")
