"""`weft schema`: printed, or written with the catalogue."""

from __future__ import annotations

import json
from pathlib import Path

from tests.engine.cli.conftest import Weft


def test_the_schema_is_printed(weft: Weft) -> None:
    ended = weft("schema")
    assert ended.code == 0 and "Add.inputs" in json.loads(ended.out)["$defs"]


def test_the_schema_and_the_catalogue_are_written(weft: Weft, folder: Path) -> None:
    ended = weft("schema", "--write", "made/schema")
    assert ended.out == "made/schema/graph.schema.json\nmade/schema/job.schema.json\nmade/schema/nodes.json\n"
    assert (folder / "made/schema/graph.schema.json").read_text() == weft("schema").out
    assert "Add" in json.loads((folder / "made/schema/nodes.json").read_bytes())["nodes"]
