"""A long session under a budget of memory: prints the resident bytes after each run, each of another seed.

python -m tests.engine.workers.seeds RUNS
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import torch

from weft.engine import Engine, Graph, Link, node
from weft.engine.store.memory import MemoryStore
from weft.nodes import Image

BUDGET = 200_000_000


@node
def Field(seed: int) -> Image:
    """A field of one colour, 1 to 3 MB large, for no two seeds next to each other the same."""
    return Image(torch.full((1, 300 + seed * 37 % 500, 300, 3), seed % 7 / 7))


@node
def Darkened(image: Image, by: float) -> Image:
    """The field with less light."""
    return Image(image.pixels * by)


def graph(seed: int) -> Graph:
    """A field, darkened twice."""
    with Graph() as graph:
        Darkened(Darkened(Field(seed), 0.9), 0.8, id="dark")  # type: ignore[call-arg]
    return replace(graph, outputs={"dark": Link("dark")})


def resident() -> int:
    """The bytes of memory that this process has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    """Run one seed after the other in one engine."""
    store = MemoryStore(BUDGET)
    with Engine(store=store, device="cpu") as engine:
        for seed in range(int(sys.argv[1])):
            assert len(engine.run(graph(seed)).ran) == 3
            print(resident())


if __name__ == "__main__":
    main()
