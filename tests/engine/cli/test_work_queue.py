"""`weft work` as it is called; what workers do: tests/engine/leased."""

from __future__ import annotations

from pathlib import Path

from tests.engine.cli.conftest import Weft


def test_a_server_and_a_token_that_can_be_read_are_needed(weft: Weft, tmp_path: Path) -> None:
    assert weft("work", "--data", str(tmp_path / "work")).code == 2
    assert weft("work", "ftp://x", "--data", str(tmp_path / "work")).code == 2
    missing = weft("work", "http://127.0.0.1:9", "--token-file", str(tmp_path / "none"))
    assert missing.code == 2 and "none" in missing.err
