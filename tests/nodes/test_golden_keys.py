"""The keys of the example graphs are those of the versions before: what people have in their stores is still found.

Where a change means to alter keys, raise the store's version, say so in the changelog and write the file again:
`python -m tests.nodes.test_golden_keys`.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from weft.engine import Engine, Graph

GOLDEN = Path(__file__).with_name("golden_keys.json")
GRAPHS = Path(__file__).parents[2] / "graphs"


def keys(name: str) -> dict[str, list[str | None]]:
    """The recipe key and the partial key of each node of an example graph."""
    with Engine(store=None, history=False) as engine:
        return {step.call.id: [step.recipe, step.partial] for step in engine.plan(Graph.load(GRAPHS / name)).steps}


@pytest.mark.parametrize("name", sorted(json.loads(GOLDEN.read_text())))
def test_keys_are_what_they_were(name: str) -> None:
    assert keys(name) == json.loads(GOLDEN.read_text())[name]


if __name__ == "__main__":
    found = {path.name: keys(path.name) for path in sorted(GRAPHS.glob("*.json"))}
    GOLDEN.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
