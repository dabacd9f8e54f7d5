"""A disk that is full at any moment: a clear error, a whole store, and the next run goes on once there is room."""

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

from tests.engine.workers.light import painting, run, woven
from weft.engine import Engine, Graph, StoreError, events
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


def filled(graph: Graph, store: Path, moment: int, room: int) -> bool:
    """Run, with a limit on the size of files from some event on; whether the store reported that it is full."""
    hard, heard = resource.getrlimit(resource.RLIMIT_FSIZE)[1], [0]

    def listen(event: events.Event) -> None:
        heard[0] += 1
        if heard[0] == moment:
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))

    with limited(), Engine(store=store, device="cpu") as engine:
        try:
            engine.run(graph, listener=listen)
        except StoreError as fault:
            assert str(fault).startswith(f"the store {store} cannot be written: File too large (")
            return True
    return False


def test_no_room_from_any_moment_on(tmp_path: Path) -> None:
    whole, full = run(woven(10), tmp_path / "whole").outputs, 0
    for trial in range(40):
        store = tmp_path / str(trial)
        full += filled(woven(10), store, MOMENTS.randint(1, 38), MOMENTS.choice([0, 100, 300, 4000]))
        assert DiskStore(store).verify() == []
        assert run(woven(10), store).outputs == whole and DiskStore(store).verify() == []
    assert full == 40


@pytest.mark.slow
def test_no_room_while_really_sampling(tmp_path: Path) -> None:
    graph = painting()
    whole = content_digest(dict(run(graph, tmp_path / "whole").outputs))
    for moment in (3, 7, 9, 15):
        store = tmp_path / str(moment)
        assert filled(graph, store, moment, room=100) and DiskStore(store).verify() == []
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
        assert (end["full"], end["faults"], end["with room"]) == (1, [], 0)
        assert "store cannot be written: No space left on device" in end["message"] and end["right"]
