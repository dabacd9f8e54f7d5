"""Copies of graphs that ship."""

from __future__ import annotations

import json
from pathlib import Path

from tests.engine.test_shipped_graphs import CATALOG, PAINTED, library
from tests.refusals import refused
from weft.engine.graph_copy import copy_graph


def test_a_copy_has_the_files_and_no_line_of_the_schema(tmp_path: Path) -> None:
    one = library(tmp_path / "from", painted=PAINTED)["painted"]
    written = copy_graph(one, tmp_path / "to/mine.json", CATALOG)
    assert written == [tmp_path / "to" / name for name in ("mine.json", "pictures/lake.png", "lake.png")]
    assert json.loads(written[0].read_text()) == {name: part for name, part in PAINTED.items() if name != "$schema"}


def test_nothing_is_written_over(tmp_path: Path) -> None:
    one = library(tmp_path / "from", painted=PAINTED)["painted"]
    (tmp_path / "lake.png").write_bytes(b"another lake")
    with refused("file-exists", "lake.png"):
        copy_graph(one, tmp_path / "mine.json", CATALOG)
    assert not (tmp_path / "mine.json").exists() and not (tmp_path / "pictures").exists()
    (tmp_path / "lake.png").write_bytes(b"a lake")
    assert len(copy_graph(one, tmp_path / "mine.json", CATALOG)) == 2
    with refused("file-exists", "mine.json"):
        copy_graph(one, tmp_path / "mine.json", CATALOG)
