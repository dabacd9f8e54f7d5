"""Four processes at once over one store: right results, and what one computes the others wait for."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from tests.engine.workers.light import run, woven
from weft.engine.store.codec import content_digest
from weft.engine.store.disk import DiskStore

ROOT = Path(__file__).parents[2]


def at_once(store: Path, firsts: list[int]) -> list[dict[str, Any]]:
    """What processes say that run overlapping graphs, all from the same moment on."""
    command = [sys.executable, "-m", "tests.engine.workers.runner", str(store)]
    runs = [
        subprocess.Popen([*command, str(first)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for first in firsts
    ]
    for one in runs:
        assert one.stdout and one.stdout.readline() == "ready\n"
    for one in runs:
        assert one.stdin
        one.stdin.write("go\n")
        one.stdin.flush()
    return [json.loads(one.communicate()[0]) for one in runs]


def test_four_processes_over_one_store(tmp_path: Path) -> None:
    firsts = [0, 2, 4, 4]
    answers = at_once(tmp_path / "shared", firsts)
    right = [content_digest(dict(run(woven(8, 0.0, first), tmp_path / "alone").outputs)) for first in firsts]
    assert [one["outputs"] for one in answers] == right and DiskStore(tmp_path / "shared").verify() == []
    ran = Counter(id for one in answers for id in one["ran"] if id.startswith("rested"))
    assert ran == Counter(f"rested_{seed}" for seed in range(12)), "each was computed once"
