"""`weft bench`: how long each node takes, against the floor of its products."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.engine.cli.conftest import Weft

PICTURE = Path(__file__).parents[3] / "graphs" / "text_to_image.json"


def test_each_part_of_a_picture_has_a_time_and_a_floor(weft: Weft) -> None:
    ended = weft("bench", str(PICTURE), "--set", "steps=2", "--rounds", "1", "--json")
    *parts, whole = ended.lines()
    found = {part["type"]: part for part in parts}
    assert {"TextEncode", "KSampler", "VAEDecode", "SaveImage"} <= found.keys()
    sampler = found["KSampler"]
    assert sampler["steps"] == 2 and sampler["step"] == pytest.approx(sampler["seconds"] / 2)
    assert all(found[name]["operations"] > 1e7 for name in ("TextEncode", "KSampler", "VAEDecode"))
    assert found["KSampler"]["floor"] == pytest.approx(sampler["operations"] / whole["rate"])
    assert whole["seconds"] <= whole["first"] and whole["rate"] > 1e9


def test_nothing_is_kept(weft: Weft, folder: Path) -> None:
    ended = weft("bench", "sum.json", "--rounds", "1")
    assert ended.code == 0 and not (folder / "output").exists()
    assert weft("plan", "sum.json").out.splitlines()[-1] == "2 to run"
