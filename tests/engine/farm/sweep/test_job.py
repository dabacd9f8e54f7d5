"""Job files: what they may say, and every problem at once."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.engine.farm.conftest import Place
from tests.refusals import refused
from weft.engine import GraphError
from weft.engine.farm import expand
from weft.engine.farm import read as read_job
from weft.engine.farm.sweep.naming import named


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
    found = ["malformed-name", "malformed-value", "unknown-target", "unknown-target"]
    assert sorted(problem.code for problem in problems) == found and all(problem.hint for problem in problems)
    assert {problem.file for problem in problems} == {str(place.folder / "job.json")}


@pytest.mark.parametrize("parts", [{"sweep": {"n.value": [1, 2]}}, {"set": {"n.value": 1}}])
def test_an_input_that_a_parameter_with_a_default_sets_is_no_target(parts: dict[str, Any], tmp_path: Path) -> None:
    graph = {
        "weft": 1,
        "parameters": {"a": {"sets": ["n.value"], "default": 4}},
        "nodes": {"n": {"type": "Integer", "inputs": {"value": 0}}},
    }
    with refused("set-twice"):
        read_job(json.dumps({"weft_job": 1, "graph": graph, **parts}), tmp_path / "job.json")


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


@pytest.mark.parametrize(("version", "code"), [(2, "unsupported-version"), ("1", "unsupported-version")])
def test_a_job_of_another_version_is_refused_with_what_to_do(place: Place, version: object, code: str) -> None:
    with pytest.raises(GraphError) as caught:
        place.job({"seed": [1]}, weft_job=version)
    (problem,) = caught.value.problems
    assert (problem.code, problem.file) == (code, str(place.folder / "job.json")) and problem.hint


def test_a_job_is_refused_before_its_values_fill_the_memory(tmp_path: Path) -> None:
    graph = {"weft": 1, "nodes": {f"n{n}": {"type": "Integer", "inputs": {"value": 1}} for n in range(400)}}
    sweep = {f"n{n}.value": {"count": 1_000_000} for n in range(400)}
    with refused("too-many-items"):
        read_job(json.dumps({"weft_job": 1, "graph": graph, "sweep": sweep}), tmp_path / "job.json")


def test_a_product_that_has_thousands_of_digits_is_refused(tmp_path: Path) -> None:
    graph = {"weft": 1, "nodes": {f"n{n}": {"type": "Integer", "inputs": {"value": 1}} for n in range(8000)}}
    sweep = {f"n{n}.value": [1, 2, 3, 4] for n in range(8000)}
    with refused("too-many-items"):
        read_job(json.dumps({"weft_job": 1, "graph": graph, "sweep": sweep}), tmp_path / "job.json")


@pytest.mark.parametrize(
    ("sweep", "code"),
    [
        ({"range": "9" * 5000}, "malformed-value"),
        ({"file": "a\0b"}, "malformed-path"),
        ({"file": "large"}, "unreadable-resource"),
    ],
)
def test_values_that_cannot_be_read_are_problems_of_the_job(sweep: dict[str, str], code: str, tmp_path: Path) -> None:
    with (tmp_path / "large").open("wb") as file:
        file.truncate(2**30)
    graph = {"weft": 1, "nodes": {"n": {"type": "Integer", "inputs": {"value": 1}}}}
    with refused(code):
        read_job(json.dumps({"weft_job": 1, "graph": graph, "sweep": {"n.value": sweep}}), tmp_path / "job.json")


def test_many_axes_are_walked_together_at_once(tmp_path: Path) -> None:
    names = [f"n{n}.value" for n in range(10_000)]
    nodes = {name.partition(".")[0]: {"type": "Integer"} for name in names}
    sweep = {name: [1, 2] for name in names}
    job = {"weft_job": 1, "graph": {"weft": 1, "nodes": nodes}, "sweep": sweep, "zip": [names]}
    (axis,) = read_job(json.dumps(job), tmp_path / "job.json").axes
    assert axis.targets == tuple(names) and len(axis.rows) == 2


def test_a_pipe_is_no_graph_file_and_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    with refused("unreadable-file"):
        read_job(json.dumps({"weft_job": 1, "graph": "pipe.json", "sweep": {}}), tmp_path / "job.json")
