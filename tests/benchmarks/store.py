"""What a store costs: microseconds to put and get a small result, to keep and recall a note, and to claim a key.

    python tests/benchmarks/store.py [--rounds 5] [--folder DIR]

Each figure is the median of some rounds of 1,000, each in a store of its own. `file` is what writing a small file and
renaming it into place takes on the same disk, which is the least that a lasting result can cost.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from weft.engine.keys import Digest, digest
from weft.engine.store import Computed, CostNote, Store
from weft.engine.store.disk import DiskStore
from weft.engine.store.memory import MemoryStore
from weft.engine.store.places import LocalFiles
from weft.engine.store.shared import SharedStore

KEYS = [digest(number) for number in range(1_000)]
VALUE = {"out": Computed("a result", digest("a result"))}


def timed(work: Callable[[Digest], object]) -> float:
    """Microseconds that something takes for a key."""
    started = time.perf_counter()
    for key in KEYS:
        work(key)
    return (time.perf_counter() - started) / len(KEYS) * 1e6


def measured(store: Store) -> dict[str, float]:
    """One round over an empty store."""

    def claimed(key: Digest) -> None:
        if claim := store.claim(key, 1.0):
            claim.release()

    return {
        "look for nothing": timed(store.has),
        "put": timed(lambda key: store.put(key, VALUE, 1.0, {})),
        "get": timed(store.get),
        "remember": timed(lambda key: store.remember(key, CostNote(1.0))),
        "recall": timed(lambda key: store.recall(key, CostNote)),
        "claim": timed(claimed),
    }


def rounds_of(kind: str, folders: Iterable[Path]) -> dict[str, float]:
    """The median of each figure."""
    found = []
    for folder in folders:
        disk = DiskStore(folder / "disk")
        shared = SharedStore(str(folder / "shared"), disk)
        stores: dict[str, Store] = {"memory": MemoryStore(), "disk": disk, "shared folder": shared}
        found.append(measured(stores[kind]))
    return {name: statistics.median(one[name] for one in found) for name in found[0]}


def file_of(folder: Path) -> float:
    """Microseconds that a small file takes."""
    files = LocalFiles(folder)
    return timed(lambda key: files.write(key, b"x" * 200))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where the stores lie while they are measured")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        folders = [Path(name) / str(number) for number in range(given.rounds)]
        print(f"file {statistics.median(file_of(folder / 'files') for folder in folders):.0f}")
        for kind in ("memory", "disk", "shared folder"):
            figures = rounds_of(kind, (folder / kind for folder in folders))
            print(f"{kind:<15}" + "".join(f"{name} {figure:.0f}   " for name, figure in figures.items()))


if __name__ == "__main__":
    main()
