"""A run that is killed leaves a whole store, and the next one goes on from there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.engine.workers.light import painting

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked, so as not to kill their start")


def killed(trials: int, *graph: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What a whole run gives, and what became of runs that were killed."""
    command = [sys.executable, "-m", "tests.engine.workers.killed", str(trials), "7", *graph]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    whole, *ends = map(json.loads, run.stdout.splitlines())
    return whole, ends


@pytest.mark.parametrize("trials", [25, pytest.param(100, marks=pytest.mark.slow)])
def test_runs_killed_at_many_moments(trials: int) -> None:
    whole, ends = killed(trials)
    assert len(ends) == trials
    assert [end for end in ends if end["faults"] or end["outputs"] != whole["outputs"]] == []
    assert len({end["kept"] for end in ends}) > trials // 8, "they were killed at different moments"
    assert sum(end["claims"] for end in ends) > trials // 20, "some left a claim, which held nobody up"


@pytest.mark.slow
def test_real_sampling_killed_at_some_moments(tmp_path: Path) -> None:
    painting().save(tmp_path / "graph.json")
    whole, ends = killed(5, str(tmp_path / "graph.json"))
    assert [end for end in ends if end["faults"] or end["outputs"] != whole["outputs"]] == []
    assert any(0 < end["kept"] < whole["kept"] for end in ends)
