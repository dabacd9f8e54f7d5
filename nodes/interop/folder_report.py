"""How many workflows of a folder are imported and can run: `python -m weft.nodes.interop.folder_report FOLDER`.

A line of JSON for each workflow, with every problem; the last line has the counts.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from weft.engine import Engine, GraphError
from weft.engine.graph import document


def report(folder: Path, engine: Engine) -> Iterator[dict[str, Any]]:
    """For each workflow: whether all of it is `imported`, whether the checks let it `run`, and its problems."""
    for path in sorted(folder.rglob("*.json")):
        try:
            graph = document.load(path)
            if not graph.foreign:
                continue
            problems, imported = graph.faults, not graph.faults
            problems = problems or engine.check(graph).problems
        except GraphError as fault:
            if any(one.code == "not-a-graph" for one in fault.problems):
                continue
            problems, imported = fault.problems, False
        lines = [one.plain() for one in problems]
        yield {"file": str(path), "imported": imported, "runs": not problems, "problems": lines}


def main(folder: str) -> None:
    """Print the report of a folder."""
    counts = Counter[str]()
    with Engine(store=None, device="cpu") as engine:
        for one in report(Path(folder), engine):
            counts.update(workflows=1, imported=one["imported"], runs=one["runs"])
            print(json.dumps(one))
    print(json.dumps(counts))


if __name__ == "__main__":
    main(sys.argv[1])
