"""Entries of a scheduler's configuration that are not what they must be are found at the check."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import diffusers.schedulers
import pytest

from weft.engine import Engine, InputError
from weft.nodes import builtin
from weft.nodes.models.scheduler_entries import CHOICES, MOST_TIMESTEPS, check_entries

GRAPH = Path(__file__).parents[3] / "graphs" / "text_to_image.json"

WRONG: list[tuple[str, object]] = [
    ("num_train_timesteps", "a/b"),
    ("num_train_timesteps", None),
    ("num_train_timesteps", 0),
    ("num_train_timesteps", MOST_TIMESTEPS + 1),
    ("num_train_timesteps", 10**400),
    ("num_train_timesteps", True),
    ("steps_offset", 10**9),
    ("steps_offset", []),
    ("original_inference_steps", "50"),
    ("shift", None),
    ("shift", float("nan")),
    ("beta_end", 10**400),
    ("beta_start", None),
    ("prediction_type", ["epsilon"]),
    ("variance_type", {}),
    ("beta_end", 4),
    ("beta_start", -0.1),
    ("solver_order", 0),
    ("solver_order", 2.0),
    *((name, "other") for name in CHOICES),
    *((name, ["linear"]) for name in CHOICES),
]


@pytest.mark.parametrize(("name", "found"), WRONG)
def test_wrong_entries_are_refused(name: str, found: object) -> None:
    with pytest.raises(InputError) as refused:
        check_entries("scheduler/scheduler_config.json", {name: found})
    assert refused.value.code == "damaged-file"


def test_the_names_are_those_that_the_classes_of_schedulers_compare_with() -> None:
    """A text in a line of diffusers' schedulers that has the name of an entry is one of the choices of an entry."""
    lines = [
        line
        for path in Path(diffusers.schedulers.__path__[0]).glob("scheduling_*.py")
        for line in path.read_text().splitlines()
    ]
    for name, choices in CHOICES.items():
        compared = [
            line for line in lines if f"config.{name}" in line or f"{name} not in" in line or f"{name} ==" in line
        ]
        known = {choice for line in compared for choice in re.findall(r"\"([a-z_0-9+-]+)\"", line)}
        others = {choice for other, found in CHOICES.items() if other != name for choice in found}
        assert known <= {*choices, *others, "v_prediction"}, name
        assert any(known), name


@pytest.mark.parametrize(
    "config", [{}, {"original_inference_steps": None, "sigma_max": None}, {"shift": 3, "other": [1]}]
)
def test_right_entries_are_taken(config: dict[str, Any]) -> None:
    check_entries("scheduler/scheduler_config.json", config)


def test_a_graph_with_such_a_model_is_refused_at_its_check(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(builtin.path("landscapes"), folder)
    path = folder / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "num_train_timesteps": "a/b"}))
    graph = json.loads(GRAPH.read_text())
    graph["nodes"]["checkpoint"]["inputs"]["source"] = "model"
    (tmp_path / "graph.json").write_text(json.dumps(graph))
    engine = Engine(store=None, device="cpu", models=[tmp_path], output=tmp_path / "output")
    problems = engine.check(tmp_path / "graph.json").problems
    assert {(problem.node, problem.code) for problem in problems} == {("checkpoint", "damaged-file")}
