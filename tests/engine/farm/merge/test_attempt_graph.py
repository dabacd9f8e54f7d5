"""The graph of an attempt: in its batch, which is merged once for all of its items, or by itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import pytest

from tests.engine.farm.conftest import NODES, Place
from tests.engine.farm.merge.test_batching import TOGETHER
from weft.engine.farm import Ledger
from weft.engine.farm.merge.attempt_graph import AttemptGraphs
from weft.engine.farm.submit import submit
from weft.engine.farm.work.ledger import Entry
from weft.engine.farm.work.ledger_file import ledger_path
from weft.engine.farm.work.publishing import dissolve


@pytest.fixture
def batched(place: Place) -> Iterator[tuple[AttemptGraphs, list[Entry]]]:
    """The graphs of a job of two batches, and its items."""
    (place.folder / "nodes.py").write_text(NODES + TOGETHER)
    job = place.job({"seed": {"count": 8}}, batch=4)
    submit(job, place.out, place.setup)
    with closing(Ledger(ledger_path(place.out))) as ledger:
        yield AttemptGraphs(place.out, job.graph, place.setup.engine().catalog), ledger.entries()


def types(graphs: AttemptGraphs, entry: Entry) -> set[str]:
    """The node types of an item's graph."""
    return {node.type for node in graphs.of(entry).nodes.values()}


def test_a_batch_is_read_and_merged_once_for_its_items(batched: tuple[AttemptGraphs, list[Entry]]) -> None:
    graphs, (first, second, *_) = batched
    assert first.shared == second.shared and "SampleBatch" in types(graphs, first)
    (graphs.folder / ".farm" / "batches" / f"{first.shared}.json").write_bytes(b"is not read again")
    assert "SampleBatch" in types(graphs, second)


def test_a_graph_is_the_same_whatever_was_asked_for_before(batched: tuple[AttemptGraphs, list[Entry]]) -> None:
    graphs, entries = batched
    fresh = [AttemptGraphs(graphs.folder, graphs.graph, graphs.catalog).of(entry) for entry in entries]
    assert [graphs.of(entry) for entry in entries] == fresh
    assert [graphs.of(entry) for entry in reversed(entries)] == fresh[::-1]


def test_an_item_of_a_dissolved_batch_runs_by_itself(batched: tuple[AttemptGraphs, list[Entry]]) -> None:
    graphs, entries = batched
    assert "SampleBatch" in types(graphs, entries[0])
    assert dissolve(graphs.folder, entries[0].shared) and not dissolve(graphs.folder, entries[0].shared)
    assert types(graphs, entries[0]) == {"Encode", "Sample", "Paint"}
    assert "SampleBatch" in types(graphs, entries[-1])


def test_an_item_that_a_worker_died_of_runs_by_itself(batched: tuple[AttemptGraphs, list[Entry]]) -> None:
    graphs, entries = batched
    assert types(graphs, replace(entries[0], charge=0.5)) == {"Encode", "Sample", "Paint"}
