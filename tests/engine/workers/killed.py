"""Runs that are killed at random moments: says of each whether the store was whole, and whether the next run was right.

    python -m tests.engine.workers.killed TRIALS SEED [GRAPH]

Each run is a fork of this process, so that what is killed is running a graph and not importing Python. The stores lie
in memory where the system has a folder for that: removing a hundred of them from a disk takes a minute.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.engine.workers.light import run, woven
from weft.engine import Graph
from weft.engine.store.codec import content_digest
from weft.engine.store.disk import DiskStore

MEMORY = Path("/dev/shm")


def forked(graph: Graph, store: Path) -> int:
    """A process that runs a graph, writes its results next to the store, and ends."""
    pid = os.fork()
    if pid:
        return pid
    result = run(graph, store)
    store.with_suffix(".outputs").write_text(content_digest(dict(result.outputs)))
    os._exit(0)


def outputs(graph: Graph, store: Path) -> str:
    """What a run that nobody kills gives, as a digest."""
    os.waitpid(forked(graph, store), 0)
    return store.with_suffix(".outputs").read_text()


def trial(graph: Graph, store: Path, moment: float) -> dict[str, Any]:
    """Kill a run after some seconds, look at the store, run again."""
    victim = forked(graph, store)
    time.sleep(moment)
    os.kill(victim, signal.SIGKILL)
    os.waitpid(victim, 0)
    faults = [str(fault) for fault in DiskStore(store).verify()]
    kept = DiskStore(store).stats().records
    claims = sum(path.is_file() for path in DiskStore(store).claims.folder.rglob("*"))
    again = outputs(graph, store)
    faults += [str(fault) for fault in DiskStore(store).verify()]
    shutil.rmtree(store)
    return {"kept": kept, "claims": claims, "faults": faults, "outputs": again}


def main() -> None:
    """Print what a whole run keeps and gives, then what a trial does, a line each."""
    trials, moments = int(sys.argv[1]), random.Random(int(sys.argv[2]))
    graph = Graph.load(sys.argv[3]) if len(sys.argv) > 3 else woven(12, rest=0.01)
    if len(sys.argv) > 3:
        import diffusers  # noqa: F401 - here, and not in each fork
    with TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as name:
        folder = Path(name)
        run(woven(2, rest=0.0), folder / "warm")
        started = time.perf_counter()
        whole = outputs(graph, folder / "whole")
        seconds = time.perf_counter() - started
        print(json.dumps({"kept": DiskStore(folder / "whole").stats().records, "outputs": whole}))
        for _ in range(trials):
            print(json.dumps(trial(graph, folder / "store", moments.uniform(0, seconds))), flush=True)


if __name__ == "__main__":
    main()
