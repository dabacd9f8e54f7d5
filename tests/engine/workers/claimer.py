"""A process that wants some results of a store, and computes those that nobody else does: prints which it computed.

python claimer.py STORE COUNT
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from weft.engine.keys import digest
from weft.engine.store import Computed
from weft.engine.store.disk import DiskStore


def computed(store: DiskStore, number: int) -> bool:
    """Whether it was for this process to compute a result; returns when the result is there."""
    key = digest(number)
    while not (claim := store.claim(key, 5.0)):
        time.sleep(0.002)
    with claim:
        if store.has(key):
            return False
        time.sleep(0.01)
        store.put(key, {"out": Computed(number, digest(number))}, 0.01, {})
        return True


def main() -> None:
    """Wait for a word, so that all begin at once."""
    store = DiskStore(Path(sys.argv[1]))
    print("ready", flush=True)
    input()
    print(*(number for number in range(int(sys.argv[2])) if computed(store, number)))


if __name__ == "__main__":
    main()
