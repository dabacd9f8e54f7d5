"""What Optimize gains on the embedded model, and what it changes: processor time against that of the plain model.

    python tests/benchmarks/optimize.py [--steps 20] [--rounds 4] [--no-compile]

Kinds alternate within a round, on one thread, and the ratios are those of the least times of all rounds, so that other
work of the machine counts for little. What is loaded and compiled before the first round does not count. Levels are of
255, at the size that is given and at one and a half times that side.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy
import torch
from PIL import Image as Pictures

from weft.engine import Engine, Graph
from weft.nodes import CFGGuide, EmptyLatent, KSampler, LoadCheckpoint, Optimize, SaveImage, TextEncode, VAEDecode

PROMPT = "snowy mountains at sunset, a red house on the left, a meadow"

KINDS: Mapping[str, Mapping[str, Any]] = {
    "plain": {},
    "channels_last": {"channels_last": True},
    "compile": {"compile": True},
    "taylor_seer, interval 2": {"cache": "taylor_seer", "interval": 2},
    "taylor_seer, interval 3": {"cache": "taylor_seer", "interval": 3},
}


def graph_of(steps: int, size: int, options: Mapping[str, Any]) -> Graph:
    """A picture of the embedded model, optimised."""
    with Graph() as graph:
        checkpoint = LoadCheckpoint("builtin:landscapes")
        model = Optimize(checkpoint.model, **options) if options else checkpoint.model
        prompts = [TextEncode(checkpoint.text_encoder, text) for text in (PROMPT, "")]
        latent = KSampler(CFGGuide(model, *prompts, scale=5.0), EmptyLatent(size, size), seed=1, steps=steps)
        SaveImage(VAEDecode(checkpoint.vae, latent))
    return graph


def painted(engine: Engine, graph: Graph) -> tuple[Any, float]:
    """The picture, and the seconds of processor time that its sampler and all else took."""
    started = time.process_time()
    result = engine.run(graph)
    seconds = time.process_time() - started
    return numpy.asarray(Pictures.open(result.paths[0]).convert("RGB")).astype(int), seconds


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--no-compile", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    kinds = {name: one for name, one in KINDS.items() if not (given.no_compile and "compile" in one)}
    least = dict.fromkeys(kinds, float("inf"))
    with tempfile.TemporaryDirectory() as folder, Engine(store=None, output=Path(folder), device="cpu") as engine:
        graphs = {name: graph_of(given.steps, given.size, options) for name, options in kinds.items()}
        pictures = {name: painted(engine, graph)[0] for name, graph in graphs.items()}
        for _ in range(given.rounds):
            for name, graph in graphs.items():
                least[name] = min(least[name], painted(engine, graph)[1])
        side = given.size * 3 // 2
        larger = {name: painted(engine, graph_of(given.steps, side, one))[0] for name, one in kinds.items()}
    for name in kinds:
        faster = least["plain"] / least[name]
        apart = [numpy.abs(of[name] - of["plain"]) for of in (pictures, larger)]
        shown = "; ".join(f"{one.mean():.2f} levels apart, at most {one.max()}" for one in apart)
        print(f"{name}: {faster:.2f} times as fast; {shown}")
    from torch._dynamo.utils import counters

    print(f"{counters['stats']['unique_graphs']} graphs were compiled for both sizes")


if __name__ == "__main__":
    main()
