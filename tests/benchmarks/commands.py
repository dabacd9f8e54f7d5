"""What the command line costs: CPU seconds of `weft check`, of a cold run and of one served from the store.

The baseline, in the same run, is a Python process that imports torch and does nothing else.

    python tests/benchmarks/commands.py
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

GRAPH = Path(__file__).parents[2] / "graphs" / "text_to_image.json"
WEFT = (sys.executable, "-c", "from weft.engine.cli import main; main()")


def measured(command: tuple[str, ...], repeats: int = 1) -> tuple[float, float]:
    """Median (CPU seconds, wall seconds) of a process."""
    runs = []
    for _ in range(repeats):
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - started
        runs.append((after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall))
    return statistics.median(cpu for cpu, _ in runs), statistics.median(wall for _, wall in runs)


def main() -> None:
    """Print a line for each command."""
    with tempfile.TemporaryDirectory() as folder:
        run = (*WEFT, "run", str(GRAPH), "--store", f"{folder}/store", "--out", f"{folder}/out", "--device", "cpu")
        baseline = measured((sys.executable, "-c", "import torch"), 3)
        rows = {
            "import torch (baseline)": baseline,
            "weft check": measured((*WEFT, "check", str(GRAPH)), 5),
            "weft run, cold": measured(run),
            "weft run, served": measured(run, 5),
        }
    print(f"device cpu, {os.cpu_count()} cores")
    for name, (cpu, wall) in rows.items():
        print(f"{name:<26} {cpu:6.2f} s CPU  {wall:6.2f} s wall  {cpu / baseline[0]:6.2f} x baseline CPU")


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    main()
