"""Nodes that need nothing heavy, and a graph of them that fills a store: what the tests of robustness run."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, replace
from pathlib import Path

from weft.engine import Engine, Graph, Link, node, value
from weft.engine.running.result import Result


@value
@dataclass(frozen=True)
class Block:
    """Bytes, which a store keeps as a blob."""

    content: bytes


@node
def Noise(seed: int, size: int = 5_000) -> Block:
    """Bytes that do not compress."""
    return Block(random.Random(seed).randbytes(size))


@node
def Mixed(first: Block, second: Block) -> Block:
    """Both, bit by bit."""
    return Block(bytes(one ^ other for one, other in zip(first.content, second.content, strict=True)))


@node(lane="gpu")
def Rested(first: Block, seconds: float) -> Block:
    """The same bytes, after a while: to the engine it is heavy work."""
    time.sleep(seconds)
    return first


def woven(count: int, rest: float | None = None, first: int = 0) -> Graph:
    """A chain of so many noises mixed into one.

    Args:
        rest: seconds that each noise rests for, in a node of its own, `rested_SEED`.
        first: the first seed; graphs whose seeds overlap have noises in common.
    """
    with Graph() as graph:
        noises = [Noise(seed) for seed in range(first, first + count)]
        if rest is not None:
            noises = [Rested(one, rest, id=f"rested_{first + n}") for n, one in enumerate(noises)]  # type: ignore[call-arg]
        mixed = noises[0]
        for noise in noises[1:]:
            mixed = Mixed(mixed, noise)
    last = [*graph.nodes][-1]
    return replace(graph, outputs={"mixed": Link(last)})


def painting() -> Graph:
    """A picture from text on the model that comes with Weft: not light, for the slow tests."""
    graph = Graph.load(Path(__file__).parents[3] / "graphs" / "text_to_image.json").set("sampler.steps", 6)
    kept = {id: one for id, one in graph.nodes.items() if id != "save"}
    return replace(graph, nodes=kept, outputs={"image": Link("decode")})


def run(graph: Graph, store: Path) -> Result:
    """Run a graph in an engine of its own, as a process that has just begun does."""
    with Engine(store=store, device="cpu") as engine:
        return engine.run(graph)
