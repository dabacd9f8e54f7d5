"""What a job costs on top of its work: submit, status, a rerun that has nothing to do, overhead an item, memory.

    python tests/benchmarks/farm.py [--items 10000]

Nodes are light: a text, a number and one pixel, so what is measured is the farm. ext4 makes files slowly for minutes
after many were removed, which the overhead of an item shows: take it on a machine that was left alone for a while.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

from weft.engine.farm import Ledger
from weft.engine.farm.report.job_progress import progress
from weft.engine.farm.submit import submit
from weft.engine.farm.work.attempt import log_path
from weft.engine.farm.work.ledger import Entry
from weft.engine.farm.work.ledger_file import ledger_path
from weft.engine.farm.work.publishing import published
from weft.engine.farm.work.worker import Worker

sys.path.insert(0, str(Path(__file__).parents[2]))  # for `tests`, where this file is run by its path

from tests.engine.farm.conftest import GRAPH, NODES, Place

REST = 0.05
"""Seconds that a node waits where overhead is measured."""

RESIDENT = """
import resource, sys
from pathlib import Path
from weft.engine.farm.work.ledger import Ledger
from weft.engine.farm.work.worker import Worker
sizes, complete = [], Ledger.complete
def counted(*given):
    sizes.append(int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize())
    return complete(*given)
Ledger.complete = counted
Worker(Path(sys.argv[1])).work()
print(sizes[49], sizes[-1])
"""


def made(folder: Path) -> Place:
    """A place for a job."""
    folder.mkdir()
    (folder / "nodes.py").write_text(NODES)
    (folder / "graph.json").write_text(json.dumps(GRAPH))
    return Place(folder)


def large(place: Place, items: int) -> dict[str, float]:
    """Seconds to submit, to tell the status, and to submit again what is done."""
    job = place.job({"prompt": [f"prompt {number}" for number in range(100)], "seed": {"count": items // 100}})
    figures = {"submit": seconds(lambda: submit(job, place.out, place.setup))}
    ledger = Ledger(ledger_path(place.out))
    figures["status"] = seconds(lambda: progress(ledger))
    figures["work, an item"] = seconds(Worker(place.out).work) / items
    figures["submit again"] = seconds(lambda: submit(job, place.out, place.setup))
    assert ledger.counts() == {"cached": items}
    return figures


def overhead(place: Place, items: int, *options: str) -> float:
    """Median seconds of an item without the work of its nodes, with 2 workers."""
    place.job({"seed": {"count": items}, "sample.seconds": [REST]})
    assert place.run("--workers", "2", *options) == 0
    ledger = Ledger(ledger_path(place.out))
    ended: dict[str, list[Entry]] = {}
    for entry in sorted(ledger.entries(), key=lambda entry: entry.ended):
        ended.setdefault(entry.worker, []).append(entry)
    ledger.close()
    pairs = [pair for entries in ended.values() for pair in pairwise(entries)]
    return statistics.median(later.ended - one.ended - worked(place, later) for one, later in pairs)


def worked(place: Place, entry: Entry) -> float:
    """Seconds that the nodes of an item took, as the log of its attempt says."""
    lines = map(json.loads, log_path(place.out, entry).read_text().splitlines())
    return sum(float(line["seconds"]) for line in lines if line["event"] == "node_finished")


def resident(place: Place, items: int) -> float:
    """A worker's resident size after all items, of that after 50."""
    submit(place.job({"seed": {"count": items}}), place.out, place.setup)
    shown = subprocess.run([sys.executable, "-c", RESIDENT, str(place.out)], capture_output=True, text=True, check=True)
    early, late = map(int, shown.stdout.split())
    assert len([*published(place.out)]) == items
    return late / early


BARE = """
import sys, time
from weft.engine import Engine, Graph
graph, engine = Graph.load(sys.argv[1]), Engine(store=sys.argv[2], output=sys.argv[2], device="cpu")
for seed in range(int(sys.argv[3]), int(sys.argv[4])):
    engine.run(graph.replace({"sampler.seed": seed}))
    print(time.time(), flush=True)
"""
"""A process that runs a graph in a loop."""


def throughput(place: Place, items: int) -> float:
    """Pictures a second of two workers on the model that comes with Weft, of those of two bare processes."""
    graph = Path(__file__).parents[2] / "graphs" / "text_to_image.json"
    half = items // 2
    bare = []
    for first in (0, half):
        given = [str(graph), str(place.folder / f"bare{first}"), str(first), str(first + half)]
        bare.append(subprocess.Popen([sys.executable, "-c", BARE, *given], stdout=subprocess.PIPE, text=True))
    alone = rate([[float(line) for line in process.communicate()[0].split()] for process in bare])
    (place.folder / "graph.json").write_bytes(graph.read_bytes())
    place.job({"seed": {"count": items}})
    assert place.run("--workers", "2") == 0
    ledger = Ledger(ledger_path(place.out))
    ends = ledger.entries()
    ledger.close()
    return rate([[one.ended for one in ends if one.worker == name] for name in {one.worker for one in ends}]) / alone


def rate(ends: list[list[float]]) -> float:
    """Items a second of processes together, by the times at which each ended one, its first left out."""
    return sum((len(times) - 1) / (max(times) - min(times)) for times in ends if len(times) > 1)


def seconds(work: object) -> float:
    """How long something takes."""
    assert callable(work)
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=10_000)
    items = parser.parse_args().items
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name, figure in large(made(root / "large"), items).items():
            print(f"{items} items, {name}: {figure:.4f} s")
        print(f"overhead an item, {REST} s each, 2 workers: {1000 * overhead(made(root / 'rest'), 200):.2f} ms")
        if find_spec("ray"):
            on_ray = overhead(made(root / "ray"), 200, "--ray", "local")
            print(f"overhead an item, {REST} s each, 2 workers on Ray: {1000 * on_ray:.2f} ms")
        print(f"pictures a second, of two bare processes: {throughput(made(root / 'model'), 24):.2f}")
        print(f"resident size after 500 items, of that after 50: {resident(made(root / 'resident'), 500):.3f}")


if __name__ == "__main__":
    main()
