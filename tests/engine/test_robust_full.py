"""A disk of the store that is full at any moment: the run goes on without, and warns once; the store stays whole."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.engine.workers.light import Block, Mixed, Noise, painting, run, woven
from weft.engine import Engine, Graph, Result, Switch, events, node
from weft.engine.store.codec import content_digest
from weft.engine.store.disk import DiskStore

resource = pytest.importorskip("resource", reason="file sizes are limited the POSIX way")

ROOT = Path(__file__).parents[2]
MOMENTS = random.Random(7)


@contextmanager
def limited() -> Iterator[None]:
    """Undoes, at the end, a limit on the size of files."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def filled(graph: Graph, store: Path, moment: int, room: int) -> Result:
    """Run, with a limit on the size of files from some event on."""
    hard, heard = resource.getrlimit(resource.RLIMIT_FSIZE)[1], [0]

    def listen(event: events.Event) -> None:
        heard[0] += 1
        if heard[0] == moment:
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))

    with limited(), Engine(store=store, device="cpu") as engine:
        return engine.run(graph, listener=listen)


def warned(result: Result, store: Path) -> bool:
    """Whether a run warned that it could not keep its results, which it does once."""
    codes = [one.code for one in result.warnings]
    assert codes in ([], ["unusable-store"]) and all(str(store) in one.message for one in result.warnings)
    return bool(codes)


def test_no_room_from_any_moment_on(tmp_path: Path) -> None:
    whole, full = run(woven(10), tmp_path / "whole").outputs, 0
    for trial in range(40):
        store = tmp_path / str(trial)
        result = filled(woven(10), store, MOMENTS.randint(1, 38), MOMENTS.choice([0, 100, 300, 4000]))
        assert result.status == "done" and result.outputs == whole
        full += warned(result, store)
        assert DiskStore(store).verify() == []
        again = run(woven(10), store)
        assert again.outputs == whole and not again.warnings and DiskStore(store).verify() == []
    assert full == 40


def test_a_run_whose_course_values_decide_goes_on_without_room(tmp_path: Path) -> None:
    whole = run(winding(), tmp_path / "whole").outputs
    for trial in range(20):
        store = tmp_path / str(trial)
        result = filled(winding(), store, MOMENTS.randint(1, 12), MOMENTS.choice([0, 100]))
        assert result.status == "done" and result.outputs == whole and warned(result, store)


@node
def IsOdd(block: Block) -> bool:
    """Whether the first byte is odd."""
    return block.content[0] % 2 == 1


def winding() -> Graph:
    """A graph whose branches computed values decide, one after another."""
    with Graph() as graph:
        block = Noise(0)
        for seed in range(3):
            block = Mixed(Switch(IsOdd(block), then=Noise(seed + 1), otherwise=Noise(seed + 10)), block)
        graph.output("block", block)
    return graph


@pytest.mark.slow
def test_no_room_while_really_sampling(tmp_path: Path) -> None:
    graph = painting()
    whole = content_digest(dict(run(graph, tmp_path / "whole").outputs))
    for moment in (9, 12, 15):  # the tokenizer, which takes a file of its own, is read by then
        store = tmp_path / str(moment)
        result = filled(graph, store, moment, room=100)
        assert warned(result, store) and content_digest(dict(result.outputs)) == whole
        assert DiskStore(store).verify() == []
        assert content_digest(dict(run(graph, store).outputs)) == whole and DiskStore(store).verify() == []


def may_mount(folder: Path) -> bool:
    """Whether a file system of some size can be mounted here, seen by one process only."""
    mount = f"mount -t tmpfs -o size=1m tmpfs {folder}"
    with suppress(FileNotFoundError):
        return subprocess.run(["unshare", "-rm", "sh", "-c", mount], capture_output=True).returncode == 0
    return False


def test_the_command_on_full_file_systems(tmp_path: Path) -> None:
    if not may_mount(tmp_path):
        pytest.skip("mounting a small file system needs rights that are not given here")
    woven(10).save(tmp_path / "graph.json")
    command = ["unshare", "-rm", sys.executable, "-m", "tests.engine.workers.filled", str(tmp_path), "20"]
    finished = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True
    )
    assert finished.returncode == 0, finished.stderr
    for end in map(json.loads, finished.stdout.splitlines()):
        assert (end["full"], end["faults"], end["with room"]) == (0, [], 0)
        assert end["message"].count("cannot be written: No space left on device") == 1
        assert end["right"] == [True, True]
