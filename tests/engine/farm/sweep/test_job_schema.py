"""The JSON Schema of job files takes what the reader takes, and schema/ has it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from weft.engine.farm.sweep.job import load
from weft.engine.farm.sweep.job_schema import job_schema
from weft.engine.show.json_schema import written

ROOT = Path(__file__).parents[4]


def valid(document: object) -> bool:
    """Whether an editor underlines nothing."""
    return bool(Draft202012Validator(job_schema()).is_valid(document))


def test_the_folder_has_the_schema() -> None:
    assert (ROOT / "schema/job.schema.json").read_bytes() == written(job_schema())


@pytest.mark.parametrize("path", sorted((ROOT / "graphs/jobs").glob("*.json")), ids=lambda path: path.stem)
def test_every_example_job_is_valid(path: Path) -> None:
    assert valid(json.loads(path.read_bytes())) and load(path).count > 1


@pytest.mark.parametrize(
    "sweep", [{"a": []}, {"a": 3}, {"a": {"count": 0}}, {"a": {"rnge": "1"}}, {"a b": [1]}, {"a": {"count": 1, "x": 2}}]
)
def test_a_wrong_sweep_is_underlined(sweep: Any) -> None:
    assert not valid({"weft_job": 1, "graph": "graph.json", "sweep": sweep})
    assert valid({"weft_job": 1, "graph": "graph.json", "sweep": {"a": {"range": "1-9"}, "b.c": [1, "x", True]}})
