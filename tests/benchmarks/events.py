"""What listening costs: bytes and microseconds of all events as lines of JSON, for chains of 1,000 and 10,000 nodes.

    python tests/benchmarks/events.py

The baseline, in the same run, is the graph itself as a file.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, field

import orjson

from weft.engine import INJECTED, Context, Engine, Given, Graph, Link, Node, events, node
from weft.engine.graph.document import write
from weft.engine.store.memory import MemoryStore

STEPS = 20
"""How many steps a node reports that reports any."""


@node
def Quick(number: int) -> int:
    """Add one."""
    return number + 1


@node
def Slow(number: int, *, context: Context = INJECTED) -> int:
    """Add one, and report steps as a sampler does."""
    for step in range(STEPS):
        context.progress(step + 1, STEPS)
    return number + 1


@dataclass
class Lines:
    """A listener that makes lines of JSON: how many, how long, in what time."""

    count: int = 0
    bytes: int = 0
    seconds: float = field(default=0.0, repr=False)

    def __call__(self, event: events.Event) -> None:
        """Make a line."""
        started = time.perf_counter()
        line = orjson.dumps(event.plain()) + b"\n"
        self.seconds += time.perf_counter() - started
        self.count += 1
        self.bytes += len(line)


def chain(length: int, steps_every: int) -> Graph:
    """A chain in which some nodes report steps."""
    names = [f"node_{number}" for number in range(length)]
    links: list[Given] = [0, *map(Link, names)]
    kinds = ["Quick" if number % steps_every else "Slow" for number in range(length)]
    nodes = {id: Node(kind, {"number": given}) for id, kind, given in zip(names, kinds, links, strict=False)}
    types = {"Quick": Quick, "Slow": Slow}
    return Graph(nodes=nodes, outputs={"out": Link(names[-1])}, types=types)  # type: ignore[arg-type]


def main() -> None:
    """Print the table."""
    print(f"{'nodes':>8}  {'':<34}{'events':>8}{'bytes':>12}{'us an event':>13}")
    for length in (1_000, 10_000):
        graph, engine = chain(length, 10), Engine(store=MemoryStore(), device="cpu")
        print(f"{length:>8}  {'the graph file (baseline)':<34}{'':>8}{len(write(graph)):>12,}")
        for words in (f"first run, each tenth of {STEPS} steps", "all asked for, all cached"):
            lines = Lines()
            engine.run(graph, only=[*graph.nodes], listener=lines)
            took = lines.seconds / lines.count * 1e6
            print(f"{length:>8}  {words:<34}{lines.count:>8,}{lines.bytes:>12,}{took:>13.2f}")


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    main()
