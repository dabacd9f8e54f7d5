"""Requests that arrive at a server together, on the model that comes with Weft, against one after another.

    OMP_NUM_THREADS=2 python -m tests.benchmarks.served_requests [--requests 8] [--rounds 3] [--steps 20]

As `requests.py`, over HTTP: two servers, one with batches and one without (`WEFT_BATCH=1`). Each request has a seed of
its own. The ratios are the medians of all rounds; the greatest difference is that of any picture, in levels of 255.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import numpy
from PIL import Image

from tests.engine.serve.processes import ServerProcess

PATH = "/api/graphs/text_to_image/runs?wait=300"


@contextmanager
def server(folder: Path, batch: int) -> Iterator[ServerProcess]:
    """A server whose model is loaded."""
    folder.mkdir()
    threads = os.environ.get("OMP_NUM_THREADS", "2")
    made = ServerProcess(folder, environment={"WEFT_BATCH": str(batch), "OMP_NUM_THREADS": threads})
    made.start()
    try:
        made.post(PATH, {"seed": 10**6, "steps": 2})
        yield made
    finally:
        made.kill()


def picture(called: ServerProcess, seed: int, steps: int) -> numpy.ndarray:
    """The picture of a request, as levels."""
    _, run = called.post(PATH, {"seed": seed, "steps": steps})
    return numpy.asarray(Image.open(io.BytesIO(called.get(run["result"]["files"][0]["url"])))).astype(int)


def timed(
    called: ServerProcess, seeds: range, steps: int, at_once: bool
) -> tuple[list[numpy.ndarray], tuple[float, float]]:
    """The pictures of some seeds, with the seconds that they took and those of the server's processor."""
    began, spent = time.perf_counter(), called.processor_seconds
    with ThreadPoolExecutor(len(seeds) if at_once else 1) as callers:
        found = [*callers.map(lambda seed: picture(called, seed, steps), seeds)]
    return found, (time.perf_counter() - began, called.processor_seconds - spent)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=20)
    given = parser.parse_args()
    together, computed, alone = [], [], []
    worst = 0
    with (
        tempfile.TemporaryDirectory() as folder,
        server(Path(folder) / "apart", 1) as apart,
        server(Path(folder) / "joint", 8) as joint,
    ):
        for number in range(given.rounds):
            seeds = range(100 * number, 100 * number + given.requests)
            single = range(100 * number + 50, 100 * number + 51)
            one_by_one, one = timed(apart, seeds, given.steps, at_once=False)
            submitted, all = timed(joint, seeds, given.steps, at_once=True)
            _, without = timed(apart, single, given.steps, at_once=False)
            _, within = timed(joint, single, given.steps, at_once=False)
            together.append(all[0] / one[0])
            computed.append(all[1] / one[1])
            alone.append(within[1] / without[1])
            pairs = zip(one_by_one, submitted, strict=True)
            worst = max(worst, *(int(abs(first - other).max()) for first, other in pairs))
            print(json.dumps({"one by one": one, "at once": all, "alone": [without, within]}), flush=True)
    share = f"{median(together):.2f} of the time one by one ({median(computed):.2f} of the processor's)"
    print(f"{given.requests} requests at once take {share}; at most 0.7 is wanted")
    print(f"one alone takes {median(alone):.2f} of its time without batches; the greatest difference is {worst}/255")


if __name__ == "__main__":
    main()
