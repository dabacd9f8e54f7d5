"""Pictures a second of a job on the model that comes with Weft, sampled one by one and in batches.

    OMP_NUM_THREADS=2 python tests/benchmarks/batch.py [--items 24] [--device cpu]

One worker, 20 steps, 128 x 128 pixels. What it takes to begin, and the first batch, do not count.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from weft.engine.farm import Ledger, load
from weft.engine.farm.submit import submit
from weft.engine.farm.work.job_facts import Setup
from weft.engine.farm.work.ledger_file import ledger_path
from weft.engine.farm.work.worker import Worker

GRAPH = Path(__file__).parents[2] / "graphs" / "text_to_image.json"


def rate(folder: Path, batch: int, items: int, device: str) -> float:
    """Pictures a second after the first batch."""
    sweep = {"prompt": ["a lake at night", "a red house in a meadow"], "seed": {"count": items // 2}}
    path = folder / "job.json"
    path.write_text(json.dumps({"weft_job": 1, "graph": str(GRAPH), "sweep": sweep, "batch": batch}))
    submit(load(path), folder / "out", Setup(store=str(folder / "store"), device=device))
    Worker(folder / "out").work()
    ledger = Ledger(ledger_path(folder / "out"))
    ends = sorted(entry.ended for entry in ledger.entries("done"))
    ledger.close()
    return (len(ends) - batch) / (ends[-1] - ends[batch - 1])


def main() -> None:
    """Measure and print; the best of three, since others may use the machine."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=24)
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    rates: dict[int, float] = {}
    for _ in range(3):
        for batch in (1, 4, 8):
            with tempfile.TemporaryDirectory() as folder:
                rates[batch] = max(rates.get(batch, 0.0), rate(Path(folder), batch, given.items, given.device))
    for batch, found in rates.items():
        print(f"--batch {batch}: {found:.2f} pictures a second, {found / rates[1]:.2f} of --batch 1")


if __name__ == "__main__":
    main()
