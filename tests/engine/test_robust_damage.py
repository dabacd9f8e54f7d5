"""Any changed bit and any cut in any file of a store is found, and no run gives a wrong result for it."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from tests.engine.workers.light import Block, run, woven
from weft.engine import Engine, Graph, Link, node
from weft.engine.store.disk import DiskStore

CHANCE = random.Random(7)


@node
def Same(seed: int) -> Block:
    """A block, whatever the seed."""
    return Block(b"x" * 1000)


@node
def Longer(block: Block, times: int) -> Block:
    """The block so many times."""
    return Block(block.content * times)


def chain(seed: int, times: int) -> Graph:
    """A chain whose middle stays the same when its ends change."""
    with Graph() as graph:
        Longer(Longer(Same(seed), 2, id="middle"), times, id="end")  # type: ignore[call-arg]
    return replace(graph, outputs={"end": Link("end")})


def files(store: Path) -> list[Path]:
    """Every file of a store that says something."""
    return sorted(path for path in store.rglob("*") if path.is_file() and path.stat().st_size)


def damaged(content: bytes) -> bytes:
    """The bytes with one bit changed, or cut off somewhere."""
    place = CHANCE.randrange(len(content))
    if CHANCE.random() < 0.5:
        return content[:place]
    return content[:place] + bytes([content[place] ^ 1 << CHANCE.randrange(8)]) + content[place + 1 :]


@pytest.mark.parametrize("count", [50, pytest.param(200, marks=pytest.mark.slow)])
def test_damaged_files(tmp_path: Path, count: int) -> None:
    graph = woven(6)
    graph = replace(graph, outputs={id: Link(id) for id in graph.nodes})
    right, kinds = run(graph, tmp_path).outputs, set()
    for _ in range(count):
        path = CHANCE.choice(files(tmp_path))
        whole = path.read_bytes()
        path.write_bytes(damaged(whole))
        assert [Path(fault.place) for fault in DiskStore(tmp_path).verify()] == [path]
        assert run(graph, tmp_path).outputs == right
        left = [Path(fault.place) for fault in DiskStore(tmp_path).verify()]
        assert not left or (left == [path] and path.parts[-3] == "notes"), "what the run looked at is repaired"
        path.write_bytes(whole)
        kinds.add(path.name if path.parent == tmp_path else path.parts[-3])
    assert kinds >= {"traces", "blobs", "notes"}


def test_damage_that_only_the_run_can_find(tmp_path: Path) -> None:
    with Engine(store=tmp_path, device="cpu") as engine:
        engine.run(chain(1, 3))
        middle = next(step.content for step in engine.plan(chain(1, 4)).steps if step.call.id == "middle")
    store = DiskStore(tmp_path)
    assert middle is not None
    store.blob_path(store.blobs_of(middle)[0]).write_bytes(b"y" * 2000)
    result = run(chain(2, 4), tmp_path)
    assert result.outputs == {"end": Block(b"x" * 8000)} and store.verify() == []
