"""A session of a thousand runs stays within its memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from statistics import median

import pytest

ROOT = Path(__file__).parents[2]
MEGABYTE = 1_000_000


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="how much memory a process has is read from /proc")
@pytest.mark.parametrize("count", [400, pytest.param(1000, marks=pytest.mark.slow)])
def test_many_seeds_in_one_process(count: int) -> None:
    command = [sys.executable, "-m", "tests.engine.workers.seeds", str(count)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    finished = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    resident = [int(line) for line in finished.stdout.splitlines()]
    early, late = median(resident[180:220]), median(resident[-20:])
    assert early - resident[0] > 150 * MEGABYTE, "the budget is used"
    assert abs(late - early) < 0.1 * early
