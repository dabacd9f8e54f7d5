"""What processes that compute on the CPU at once cost each other: two runs, and the workers of a job, as ratios.

    python tests/benchmarks/together.py [--steps 20] [--items 24] [--rounds 3]

Each process computes once before it is measured, so starting up does not count. A round measures together between two
times alone, since the speed of a machine drifts: two virtual cores took up to a fifth more processor time for the
same work ten seconds later. The ratios are the medians of all rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from itertools import count
from pathlib import Path
from statistics import fmean, median

from weft.engine.weights.machine_cores import usable_cores

GRAPH = Path(__file__).parents[2] / "graphs" / "text_to_image.json"

RUNS = 4
"""Runs that each process is measured over."""

PROCESS = """
import sys, time
from pathlib import Path
from weft.engine import Engine, Graph
graph, place, own = Graph.load(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
processes, steps, first, runs = map(int, sys.argv[4:])
with Engine(store=None, output=place / own, device="cpu") as engine:
    engine.run(graph.replace({"sampler.steps": 2}))
    (place / f"ready{own}").touch()
    while len([*place.glob("ready*")]) < processes:
        time.sleep(0.01)
    started = time.perf_counter()
    for seed in range(first, first + runs):
        engine.run(graph.replace({"sampler.seed": seed, "sampler.steps": steps}))
    print(time.perf_counter() - started)
"""
"""Runs the graph so many times, once all processes are ready; prints the seconds."""


def slowest(place: Path, processes: int, steps: int, runs: int, threads: int | None = None) -> float:
    """Seconds until the last of some processes has ended its runs; each has the threads that torch takes, or these."""
    place.mkdir()
    environment = {name: one for name, one in os.environ.items() if name not in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    if threads is not None:
        environment["OMP_NUM_THREADS"] = str(threads)
    started = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, str(GRAPH), str(place), str(own)]
            + [str(one) for one in (processes, steps, 1 + own * runs, runs)],
            stdout=subprocess.PIPE,
            env=environment,
        )
        for own in range(processes)
    ]
    return max(float(process.communicate()[0]) for process in started)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--items", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    cores, workers = len(usable_cores()), 4
    each = max(1, cores // workers)  # as the launcher of a job gives them
    twice: list[float] = []
    four: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        places = (Path(folder) / str(number) for number in count())

        def alone() -> float:
            return slowest(next(places), 1, given.steps, RUNS)

        def one() -> float:
            return slowest(next(places), 1, given.steps, given.items, cores)

        for _ in range(given.rounds):
            before, two, after = alone(), slowest(next(places), 2, given.steps, RUNS), alone()
            twice.append(two / fmean((before, after)))
            first, all_four = one(), slowest(next(places), workers, given.steps, given.items // workers, each)
            four.append(all_four / fmean((first, one())))
            print(json.dumps({"alone": [before, after], "two": two, "one": first, "four": all_four}), flush=True)
    print(f"two runs at once take {_shown(twice)} times as long as one alone (at most 2.2 are wanted)")
    print(f"four workers over {given.items} items take {_shown(four)} times as long as one (at most 1.1 are wanted)")


def _shown(ratios: list[float]) -> str:
    return f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


if __name__ == "__main__":
    main()
