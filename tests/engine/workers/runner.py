"""A process that runs a graph on request, and says which nodes it ran and what came of it.

python -m tests.engine.workers.runner STORE FIRST       (the graph is `woven(8, first=FIRST)` with rests)
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.engine.workers.light import run, woven
from weft.engine.running.executor import WORTH_CLAIMING
from weft.engine.store.codec import content_digest

REST = 1.5 * WORTH_CLAIMING
"""Seconds: a process that begins late knows from the others how long a node takes, and claims it still."""


def main() -> None:
    """Wait for a word, so that all begin at once."""
    graph = woven(8, rest=REST, first=int(sys.argv[2]))
    print("ready", flush=True)
    input()
    result = run(graph, Path(sys.argv[1]))
    print(json.dumps({"ran": result.ran, "outputs": content_digest(dict(result.outputs))}))


if __name__ == "__main__":
    main()
