"""What `weft run --json` prints of a large graph."""

from __future__ import annotations

import json
from pathlib import Path

from tests.engine.cli.conftest import Weft


def test_a_thousand_nodes_print_less_than_a_megabyte(weft: Weft, folder: Path) -> None:
    numbers = [0, *({"link": f"n{number}"} for number in range(999))]
    nodes = {f"n{number}": {"type": "Add", "inputs": {"a": given}} for number, given in enumerate(numbers)}
    (folder / "large.json").write_text(json.dumps({"weft": 1, "nodes": nodes, "outputs": {"out": {"link": "n999"}}}))
    ended = weft("run", "large.json", "--json")
    assert ended.code == 0 and len(ended.out.encode()) <= 10**6
    assert [line["ran"] for line in ended.lines()[-1:]] == [1000]
