"""Mutated job files: a dry run refuses them or plans all items, within time and memory, and touches nothing else."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.fuzz.budget import Budgeted
from tests.fuzz.fuzzing import Cases, counts, hold
from tests.fuzz.job_mutations import MUTATIONS
from tests.fuzz.mutations import documents
from weft.engine import Engine
from weft.engine.farm import load
from weft.engine.farm.merge.merged import planned

GRAPH = {
    "weft": 1,
    "parameters": {"prompt": {"sets": ["text.value"]}, "seed": {"sets": ["latent.batch_size"], "max": 9}},
    "nodes": {
        "text": {"type": "Text", "inputs": {"value": "a"}},
        "latent": {"type": "EmptyLatent"},
        "image": {"type": "LoadImage", "inputs": {"path": "faces/one.png"}},
        "save": {"type": "SaveImage", "inputs": {"image": {"link": "image"}, "name": {"link": "text"}}},
    },
}

SEEDS = (
    {"weft_job": 1, "graph": "graph.json", "sweep": {"prompt": ["a", "b"], "seed": {"count": 3, "start": 1}}},
    {
        "weft_job": 1,
        "title": "A table",
        "graph": GRAPH,
        "sweep": {"prompt": {"file": "table.csv", "column": "a"}, "seed": {"range": "1-2"}},
        "zip": [["prompt", "seed"]],
        "name": "{prompt:10}_{seed:03}_{key:8}",
        "on_out_of_memory": {"text.value": "less"},
        "batch": 2,
    },
    {
        "weft_job": 1,
        "graph": "graph.json",
        "sweep": {"image.path": {"folder": "faces", "pattern": "*.png"}, "prompt": {"file": "prompts.txt"}},
        "set": {"seed": 4},
        "max_items": 50,
    },
)

MOST_PLANNED = 200
"""Items of the largest job that is planned; the time that planning takes grows with them."""


@cache
def _engine(folder: Path) -> Engine:
    return Engine(store=None, device="cpu", inputs=[folder], output=folder / "output")


def planned_job(text: bytes, folder: Path) -> None:
    """Read a job file, and plan its items where they are few."""
    (folder / "job.json").write_bytes(text)
    if _graph_elsewhere(text, folder):
        return
    job = load(folder / "job.json")
    if job.count <= MOST_PLANNED:
        plan = planned(job, _engine(folder))
        assert len(plan.ids) == job.count


def _graph_elsewhere(text: bytes, folder: Path) -> bool:
    """Whether a job names a graph outside of its folder, as it may; it is read or refused like any other."""
    try:
        name = json.loads(text)["graph"]
        return isinstance(name, str) and not (folder / name).resolve().is_relative_to(folder)
    except (ValueError, KeyError, TypeError, RecursionError, OSError):
        return False


@pytest.fixture
def child(tmp_path: Path) -> Iterator[Budgeted[bytes]]:
    from PIL import Image

    folder, outside = tmp_path / "inside", tmp_path / "outside"
    for path in (folder, outside):
        path.mkdir()
        (path / "graph.json").write_text(json.dumps(GRAPH))
        (path / "prompts.txt").write_text("one\n\ntwo\n")
    (folder / "table.csv").write_text("a,b\n1,2\n3,4\n")
    (folder / "rows.jsonl").write_text('{"a": 1}\n{"a": [2]}\n')
    (folder / "faces").mkdir()
    Image.new("RGB", (8, 8)).save(folder / "faces" / "one.png")
    os.mkfifo(folder / "pipe")
    (folder / "link").symlink_to(outside)
    with Budgeted(planned_job, folder, json.dumps(SEEDS[0]).encode()) as made:
        yield made


def jobs() -> Cases[bytes]:
    """Mutations of jobs over lists, tables, folders and ranges."""
    return documents([json.dumps(seed).encode() for seed in SEEDS], MUTATIONS)


@counts(2_000)
def test_mutated_jobs_are_refused_or_planned(count: int, child: Budgeted[bytes], tmp_path: Path) -> None:
    hold(jobs(), count, child, tmp_path / "spoil")
