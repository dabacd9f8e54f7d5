"""`weft diff`: two files, or a file and a picture."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.engine.cli.conftest import SUM
from weft.engine.cli import call


def test_two_graphs_are_compared(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "other.json").write_text(json.dumps(SUM).replace('"b": 3', '"b": 4'))
    assert call(["diff", "sum.json", "other.json", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "kind": "changed",
        "node": "sum",
        "type": "Add",
        "details": ["`b` 3 -> 4"],
    }


def test_a_file_that_is_not_there(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["diff", "sum.json", "none.json"]) == 2
    assert "none.json" in capsys.readouterr().err
