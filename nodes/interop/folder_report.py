"""How many workflows of a folder are imported and can run: `python -m weft.nodes.interop.folder_report FOLDER`.

A line of JSON for each workflow: whether it is `resolved` (each node of a known class has inputs that the class takes),
`core` (all of its classes are ComfyUI's own and run on the computer itself), `imported` (every node has a counterpart
here), whether the checks let it `run`, the classes that are missing, and every problem. The last line has the counts,
and the number of workflows that each missing class keeps from being imported. Files of models are looked for in the
folders of `WEFT_MODELS`.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from weft.engine import Engine, GraphError
from weft.engine.graph import document
from weft.engine.interop.foreign_formats import is_foreign, needed, problems_of, read_foreign
from weft.nodes.interop.comfy_refused import REASONS
from weft.nodes.interop.comfyui import definitions, entries


def report(folder: Path, engine: Engine) -> Iterator[dict[str, Any]]:
    """What each workflow of a folder, and of those below it, is and lacks, in the order of their paths."""
    for path in sorted(folder.rglob("*.json")):
        tree = _tree(path)
        if tree is None:
            continue
        found = {"file": str(path.relative_to(folder)), **_resolution(tree)}
        try:
            graph = document.load(path)
            problems, imported = graph.faults, not graph.faults
            problems = problems or engine.check(graph).problems
        except GraphError as fault:
            problems, imported = fault.problems, False
        lines = [one.plain() for one in problems]
        yield {**found, "imported": imported, "runs": not problems, "problems": lines}


def _tree(path: Path) -> Mapping[str, Any] | None:
    """The content of a file that has a workflow; None for other JSON."""
    try:
        tree = json.loads(path.read_bytes())
    except ValueError:
        return None
    return tree if isinstance(tree, dict) and is_foreign(tree) else None


def _resolution(tree: Mapping[str, Any]) -> dict[str, Any]:
    """What the intermediate form of a workflow is and lacks."""
    known, mapped = definitions(), entries()
    try:
        graph = read_foreign(tree, known)
    except GraphError as fault:
        return {"resolved": False, "core": False, "missing": [], "faults": [one.plain() for one in fault.problems]}
    wanted = needed(graph, known)
    classes = sorted({graph.nodes[id].type for id in wanted})
    faults = [one.plain() for one in (*graph.faults, *problems_of(graph, known, wanted))]
    missing = [one for one in classes if one not in mapped or one in REASONS]
    return {"resolved": not faults, "core": known.keys() >= {*classes}, "missing": missing, "faults": faults}


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The counts of a report."""
    core = [one for one in rows if one["core"]]
    missing = Counter(name for one in rows for name in one["missing"])
    return {
        "workflows": len(rows),
        "core": len(core),
        "core_resolved": sum(one["resolved"] for one in core),
        "imported": sum(one["imported"] for one in rows),
        "runs": sum(one["runs"] for one in rows),
        "missing": dict(missing.most_common()),
    }


def main(folder: str) -> None:
    """Print the report of a folder."""
    rows = []
    with Engine(store=None, device="cpu") as engine:
        for one in report(Path(folder), engine):
            rows.append(one)
            print(json.dumps(one))
    print(json.dumps(summary(rows)))


if __name__ == "__main__":
    main(sys.argv[1])
