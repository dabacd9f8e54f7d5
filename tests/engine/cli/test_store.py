"""`weft store`: counting, verifying, pruning."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.engine.cli.conftest import Weft


def test_a_store_is_counted_and_whole(weft: Weft, folder: Path) -> None:
    weft("run", "sum.json")
    assert weft("store", "path").out == f"{folder / 'store'}\n"
    assert weft("store", "stats").out.startswith("2 results, ")
    assert weft("store", "verify").code == 0


def test_damage_is_found(weft: Weft, folder: Path) -> None:
    weft("run", "sum.json")
    largest = max(
        (path for path in (folder / "store").rglob("*") if path.is_file()), key=lambda one: one.stat().st_size
    )
    largest.chmod(0o644)
    largest.write_bytes(b"x")
    ended = weft("store", "verify")
    assert ended.code == 1 and str(largest) in ended.out


def test_pruning_removes_results(weft: Weft) -> None:
    weft("run", "sum.json")
    assert weft("store", "prune", "--max-size", "0").code == 0
    assert weft("store", "stats").out.startswith("0 results, ")
    assert "cached" not in weft("plan", "sum.json").out


@pytest.mark.parametrize("option", [("--max-size", "much"), ("--older-than", "3 moons")])
def test_a_measure_without_sense_is_refused(weft: Weft, option: tuple[str, str]) -> None:
    ended = weft("store", "prune", *option)
    assert ended.code == 2 and option[1] in ended.err
