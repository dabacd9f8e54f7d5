"""Requests that arrive at one engine together, on the model that comes with Weft, against one after another.

    OMP_NUM_THREADS=2 python tests/benchmarks/requests.py [--requests 8] [--rounds 3] [--steps 20]

Each request has a seed and a text of its own. Every round measures the same requests one by one and all submitted at
once, and one alone on an engine that makes batches and on one that makes none. The ratios are the medians of all
rounds; the greatest difference is that of any picture, in levels of 255.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy
from PIL import Image

from weft.engine import Engine, Graph

GRAPH = Path(__file__).parents[2] / "graphs" / "text_to_image.json"

TEXTS = ("a lake at night", "a red house in a meadow", "snowy mountains at sunset", "a desert")


def requests(count: int, first: int, steps: int) -> list[Graph]:
    """Graphs that differ in seed and text."""
    graph = Graph.load(GRAPH)
    return [
        graph.replace({"prompt": TEXTS[number % len(TEXTS)], "seed": number, "steps": steps})
        for number in range(first, first + count)
    ]


def pictures(paths: list[Path]) -> list[numpy.ndarray]:
    """The pictures as levels."""
    return [numpy.asarray(Image.open(path)).astype(int) for path in paths]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    together: list[float] = []
    computed: list[float] = []
    alone: list[float] = []
    worst = 0
    with tempfile.TemporaryDirectory() as folder:
        apart = Engine(store=None, output=Path(folder) / "apart", device=given.device, batch=1)
        joint = Engine(store=None, output=Path(folder) / "joint", device=given.device)
        for engine in (apart, joint):
            engine.run(requests(1, 10_000, 2)[0])
        for number in range(given.rounds):
            graphs = requests(given.requests, 100 * number, given.steps)
            single = requests(1, 100 * number + 50, given.steps)
            one_by_one, one = timed(apart, graphs, at_once=False)
            submitted, all = timed(joint, graphs, at_once=True)
            _, without = timed(apart, single, at_once=False)
            _, within = timed(joint, single, at_once=False)
            together.append(all[0] / one[0])
            computed.append(all[1] / one[1])
            alone.append(within[1] / without[1])
            pairs = zip(pictures(one_by_one), pictures(submitted), strict=True)
            worst = max(worst, *(int(abs(first - other).max()) for first, other in pairs))
            print(json.dumps({"one by one": one, "at once": all, "alone": [without, within]}), flush=True)
    share = f"{median(together):.2f} of the time one by one ({median(computed):.2f} of the processor's)"
    print(f"{given.requests} requests at once take {share}; at most 0.7 is wanted")
    print(f"one alone takes {median(alone):.2f} of its time without batches; the greatest difference is {worst}/255")


def timed(engine: Engine, graphs: list[Graph], at_once: bool) -> tuple[list[Path], tuple[float, float]]:
    """The pictures of some graphs, with the seconds that they took and those of the processor."""
    started, spent = time.perf_counter(), time.process_time()
    found = [run.result() for run in [*map(engine.submit, graphs)]] if at_once else [*map(engine.run, graphs)]
    seconds = time.perf_counter() - started, time.process_time() - spent
    return [result.paths[0] for result in found], seconds


if __name__ == "__main__":
    main()
