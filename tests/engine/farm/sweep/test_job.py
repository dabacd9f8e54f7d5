"""Job files: what they may say, and every problem at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.engine.farm.conftest import Place
from weft.engine import GraphError, InputError
from weft.engine.farm import expand
from weft.engine.farm import read as read_job
from weft.engine.farm.sweep.axes import ranged, read
from weft.engine.farm.sweep.naming import named


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("3", [3]), ("1-4", [1, 2, 3, 4]), ("1-9x4,150", [1, 5, 9, 150]), ("-2-1", [-2, -1, 0, 1]), (" 1 , 2", [1, 2])],
)
def test_ranges_as_farms_write_them(text: str, numbers: list[int]) -> None:
    assert [*ranged(text)] == numbers


@pytest.mark.parametrize("text", ["", "a", "1-", "4-1", "1-9x0", "1-99999999", "1;2"])
def test_what_is_no_range_says_so(text: str) -> None:
    with pytest.raises(InputError) as caught:
        ranged(text)
    assert caught.value.hint


def test_values_come_from_files_and_folders(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\n\n# not this\ntwo\n")
    (tmp_path / "a.csv").write_text("prompt,seed\none,1\ntwo,2\n")
    (tmp_path / "a.jsonl").write_text('{"seed": 1}\n{"seed": 2}\n')
    (tmp_path / "b.png").touch()
    assert read({"file": "a.txt"}, tmp_path) == read({"file": "a.csv", "column": "prompt"}, tmp_path) == ("one", "two")
    assert read({"file": "a.jsonl", "column": "seed"}, tmp_path) == read({"count": 2, "start": 1}, tmp_path) == (1, 2)
    assert read({"folder": "."}, tmp_path) == ("b.png",)


@pytest.mark.parametrize(
    "source",
    [
        [],
        5,
        {},
        {"count": 0},
        {"count": "2"},
        {"count": 2, "first": 1},
        {"file": "../a.txt"},
        {"file": "none.txt"},
        {"file": "a.csv", "column": "promt"},
        {"range": "1-2", "count": 3},
        {"folder": "a.csv"},
    ],
)
def test_a_source_that_gives_nothing_is_refused(source: Any, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("prompt\none\n")
    with pytest.raises(InputError) as caught:
        read(source, tmp_path)
    assert caught.value.hint


def test_axes_multiply_and_groups_are_walked_together(place: Place) -> None:
    job = place.job({"prompt": ["a", "b"], "seed": [1, 2], "sample.scale": [3.0, 4.0]}, zip=[["prompt", "seed"]])
    assert [[*item.values.values()] for item in expand(job)] == [
        ["a", 1, 3.0],
        ["a", 1, 4.0],
        ["b", 2, 3.0],
        ["b", 2, 4.0],
    ]


def test_all_problems_of_a_job_come_at_once(place: Place) -> None:
    with pytest.raises(GraphError) as caught:
        place.job({"promt": ["a"], "sampel.seed": [1], "seed": {"range": "x"}}, name="{sed}")
    problems = caught.value.problems
    found = ["malformed-name", "unknown-target", "unknown-target", "unusable-input"]
    assert sorted(problem.code for problem in problems) == found and all(problem.hint for problem in problems)
    assert {problem.file for problem in problems} == {str(place.folder / "job.json")}


@pytest.mark.parametrize(
    "parts",
    [
        {"nam": ""},
        {"retries": -1},
        {"retries": "2"},
        {"zip": [["prompt", "seed"]]},
        {"max_items": 1},
        {"name": "../{seed}"},
    ],
)
def test_a_wrong_part_is_a_problem(parts: dict[str, Any], place: Place) -> None:
    with pytest.raises(GraphError):
        place.job({"prompt": ["a"], "seed": [1, 2]}, **parts)


@pytest.mark.parametrize(
    ("text", "code_and_place"),
    [
        ('{"weft_job": 1, "title": "a", "title": "b", "graph": GRAPH}', ("duplicate-key", "")),
        ('{"weft_job": 1, "graph": GRAPH, "sweep": {"n.a": [1], "n.a": [2]}}', ("duplicate-key", "sweep")),
        (
            '{"weft_job": 1, "graph": {"weft": 1, "nodes": {"n": 1, "n": 2}}, "nam": ""}',
            ("duplicate-key", "graph.nodes"),
        ),
        ('{"weft_job": 1, "graph": GRAPH, "sweep": {"n.a": {"count": 1e999}}}', ("not-a-number", "sweep.n.a.count")),
        ('{"weft_job": 1, ', ("not-json", "")),
    ],
)
def test_a_job_file_is_read_as_strictly_as_a_graph(text: str, code_and_place: tuple[str, str], tmp_path: Path) -> None:
    graph = '{"weft": 1, "nodes": {"n": {"type": "A"}}}'
    with pytest.raises(GraphError) as raised:
        read_job(text.replace("GRAPH", graph), tmp_path / "job.json")
    assert (raised.value.problems[0].code, raised.value.problems[0].node) == code_and_place


def test_names_are_made_of_tokens() -> None:
    values = {"prompt": "a lake: at / night", "seed": 7, "key": "abcdef"}
    assert named("{seed:03}_{prompt}_{key:3}", values) == "007_a_lake_at_night_abc"
