"""The values of an axis: lists, ranges, counts, files and folders; what gives none is refused."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.refusals import refused
from weft.engine.farm.sweep.axes import ranged, read


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("3", [3]), ("1-4", [1, 2, 3, 4]), ("1-9x4,150", [1, 5, 9, 150]), ("-2-1", [-2, -1, 0, 1]), (" 1 , 2", [1, 2])],
)
def test_ranges_as_farms_write_them(text: str, numbers: list[int]) -> None:
    assert [*ranged(text)] == numbers


@pytest.mark.parametrize("text", ["", "a", "1-", "4-1", "1-9x0", "1;2"])
def test_what_is_no_range_says_so(text: str) -> None:
    with refused("malformed-value"):
        ranged(text)


def test_a_range_has_a_limit() -> None:
    with refused("too-many-items", "1-99999999"):
        ranged("1-99999999")


def test_values_come_from_files_and_folders(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\n\n# not this\ntwo\n")
    (tmp_path / "a.csv").write_text("prompt,seed\none,1\ntwo,2\n")
    (tmp_path / "a.jsonl").write_text('{"seed": 1}\n{"seed": 2}\n')
    (tmp_path / "b.png").touch()
    assert read({"file": "a.txt"}, tmp_path) == read({"file": "a.csv", "column": "prompt"}, tmp_path) == ("one", "two")
    assert read({"file": "a.jsonl", "column": "seed"}, tmp_path) == read({"count": 2, "start": 1}, tmp_path) == (1, 2)
    assert read({"folder": "."}, tmp_path) == ("b.png",)


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ([], "no-values"),
        (5, "malformed-value"),
        ({}, "malformed-value"),
        ({"count": 0}, "out-of-range"),
        ({"count": "2"}, "wrong-type"),
        ({"count": 2, "first": 1}, "unknown-key"),
        ({"file": "../a.txt"}, "outside-folders"),
        ({"file": "none.txt"}, "missing-file"),
        ({"file": "a.csv"}, "missing-key"),
        ({"file": "a.csv", "column": "promt"}, "unknown-column"),
        ({"file": "text.jsonl", "column": "prompt"}, "not-json"),
        ({"range": "1-2", "count": 3}, "malformed-value"),
        ({"folder": "a.csv"}, "wrong-kind-of-file"),
        ({"file": "."}, "wrong-kind-of-file"),
        ({"folder": ".", "pattern": ""}, "malformed-value"),
        ({"folder": ".", "pattern": "**.png"}, "malformed-value"),
        ({"folder": ".", "pattern": "/tmp/*"}, "malformed-value"),
        ({"folder": ".", "pattern": "../*"}, "malformed-value"),
        ({"folder": ".", "pattern": 3}, "malformed-value"),
        ({"folder": ".", "pattern": "*.jpg"}, "no-values"),
    ],
)
def test_a_source_that_gives_nothing_is_refused(source: Any, code: str, tmp_path: Path) -> None:
    (tmp_path / "text.jsonl").write_text("one\n")
    (tmp_path / "a.csv").write_text("prompt\none\n")
    with refused(code):
        read(source, tmp_path)


def test_hidden_files_are_no_pictures_of_a_folder(tmp_path: Path) -> None:
    for name in ("b/c.png", "b/A.JPG", "b/._c.png", "b/.DS_Store", "b/Thumbs.db", "b/.thumbs/c.png", "b/d/e.webp"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert read({"folder": "b"}, tmp_path) == ("b/A.JPG", "b/c.png")
    assert read({"folder": "b", "pattern": "**/*"}, tmp_path) == ("b/A.JPG", "b/c.png", "b/d/e.webp")
    assert read({"folder": "b", "pattern": "*.jpg"}, tmp_path) == ("b/A.JPG",)
    assert read({"folder": "b", "pattern": "[Aa].J*"}, tmp_path) == ("b/A.JPG",)


def test_a_picture_whose_name_is_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"\xe9.png")).touch()
    with refused("malformed-path"):
        read({"folder": "."}, tmp_path)
