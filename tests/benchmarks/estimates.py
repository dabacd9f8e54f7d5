"""How far a plan's seconds are from those of the run, for settings that never ran.

    python tests/benchmarks/estimates.py [GRAPH] [--processor]

Three runs of a graph tell the engine what steps, sizes and batches take; then twelve runs at other settings are
planned, all of them before the first is made. Each line has the seconds that were expected, those that the run took,
and by how many percent the first are off. `--processor` counts seconds of the processor in place of those of the
clock, for machines that others use too.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from tempfile import TemporaryDirectory

from weft.engine import Engine, Graph

KNOWN: tuple[Mapping[str, int | str], ...] = (
    {"sampler.steps": 10, "latent.width": 128, "latent.height": 128},
    {"sampler.steps": 30, "latent.width": 128, "latent.height": 128},
    {"sampler.steps": 12, "latent.width": 256, "latent.height": 256},
)
"""What runs first."""

OTHERS: tuple[Mapping[str, int | str], ...] = (
    *({"sampler.steps": steps, "latent.width": 128, "latent.height": 128} for steps in (16, 24, 50, 80)),
    *({"sampler.steps": 20, "latent.width": 192, "latent.height": height} for height in (128, 192, 256)),
    *({"sampler.steps": 20, "latent.width": 128, "latent.height": 128, "latent.batch_size": n} for n in (2, 4)),
    {"sampler.steps": 40, "latent.width": 256, "latent.height": 256},
    {"sampler.steps": 20, "latent.width": 384, "latent.height": 256},
    {"sampler.steps": 20, "latent.width": 128, "latent.height": 128, "sampler.sampler": "heun"},
)
"""What is predicted."""


def with_settings(graph: Graph, settings: Mapping[str, int | str], seed: int) -> Graph:
    """The graph with settings and a seed of its own."""
    for path, given in {**settings, "sampler.seed": seed}.items():
        graph = graph.set(path, given)
    return graph


def main(source: str) -> None:
    """Print the table."""
    graph = Graph.load(source)
    with TemporaryDirectory() as store, Engine(store=store, device="cpu") as engine:
        for seed, settings in enumerate(KNOWN):
            engine.run(with_settings(graph, settings, seed))
        graphs = [with_settings(graph, settings, 100 + seed) for seed, settings in enumerate(OTHERS)]
        expected = [engine.plan(one).expected for one in graphs]
        print(f"{'settings':<70}{'expected':>9}{'took':>9}{'off by':>9}")
        for settings, one, seconds in zip(OTHERS, graphs, expected, strict=True):
            took = engine.run(one).seconds
            named = ", ".join(f"{path.partition('.')[2]} {given}" for path, given in settings.items())
            off = f"{100 * (seconds / took - 1):+.0f} %" if seconds else "unknown"
            print(f"{named:<70}{seconds or 0:>8.2f}s{took:>8.2f}s{off:>9}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("graph", nargs="?", default="graphs/text_to_image.json", help="with nodes sampler and latent")
    parser.add_argument("--processor", action="store_true", help="count seconds of the processor")
    given = parser.parse_args()
    if given.processor:
        setattr(time, "perf_counter", time.process_time)  # noqa: B010 (the engine's clock of calls)
    main(given.graph)
