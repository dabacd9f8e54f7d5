"""Everything that only a GPU shows, in parts that go on where they were cut. `run.sh` calls this, and says how.

    python -m tests.gpu.plan [PART ...] [--device cuda:0] [--tiny] [--pretended] [--results FOLDER] [--again]

| part | at most | what |
| --- | --- | --- |
| pictures | 5.5 min | graphs, families and samplers against the CPU, waits a step, memory that is given back |
| speed | 8.5 min | SD 1.5 and SDXL: a step by the network, KSampler, diffusers' pipeline, compiled, captured; VAEs |
| memory | 8.5 min | times to load, an SDXL on a card of 8 GB, a FLUX.1 on one of 24 GB, steps of FLUX.1 |
| workers | 2.5 min | commands, and two workers of a farm on one card |

Each measurement is a row of `CARD.jsonl`, written when it is made. A part runs in a process of its own, which is begun
again where it ends early (an illegal access ends every later call on a GPU), and ended when its time is over.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path

from tests.gpu.figures import Log, Measurement, Row

LIMITS = {"pictures": 330, "speed": 510, "memory": 510, "workers": 150}
"""The parts, and seconds that each may take."""

RESULTS = Path(__file__).with_name("results")

PRETENDED_GIB = 1.0


def measure(part: str, measurements: Iterable[Measurement], log: Log) -> None:
    """Make the measurements of a part that are left."""
    for one in measurements:
        if not log.is_left(part, one.item):
            continue
        log.begin(part, one.item)
        started = time.perf_counter()
        try:
            figures, failed = tuple(one.call()), ""
        except Exception as fault:  # the others are made all the same
            figures, failed = (), f"{type(fault).__name__}: {' '.join(str(fault).split())[:400]}"
        row = Row(part, one.item, round(time.perf_counter() - started, 2), figures, failed)
        log.add(row)
        print(row, flush=True)


def main(words: Sequence[str] | None = None) -> int:
    """Make the measurements of the parts that are named, of all by default; 1 where one failed or missed its aim."""
    options = _options(words)
    if options.inside:
        _inside(options)
        return 0
    name = _card_name(options)
    files = [folder / f"{name}.jsonl" for folder in _folders(options)]
    if options.again:
        for file in files:
            file.unlink(missing_ok=True)
    for part in options.parts or LIMITS:
        _part(part, options, name)
    log = Log(files)
    table = log.table()
    for file in files:
        file.with_suffix(".md").write_text(f"# {name}\n\n{table}")
    print(table)
    return int(any(row.failed or any(one.missed for one in row.figures) for row in log.rows.values()))


def _options(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*LIMITS, []], metavar="PART")
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--tiny", action="store_true", help="small networks and pictures, to try the script out")
    parser.add_argument("--pretended", action="store_true", help="on a device that is pretended on the CPU")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where rows and the table go")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "weft-gpu", help="for models")
    parser.add_argument("--again", action="store_true", help="forget the rows that are there")
    parser.add_argument("--inside", choices=[*LIMITS, "name"], help=argparse.SUPPRESS)
    parser.add_argument("--name", help=argparse.SUPPRESS)
    return parser.parse_args(words)


def _folders(options: argparse.Namespace) -> list[Path]:
    """Where rows go: the folder of results, and the one that OUT names."""
    out = os.environ.get("OUT", "")
    return [options.results, *([Path(out)] if out and Path(out).is_dir() else [])]


def _command(options: argparse.Namespace, inside: str, name: str = "") -> list[str]:
    given = [sys.executable, "-m", "tests.gpu.plan", "--inside", inside, "--device", options.device, "--name", name]
    given += ["--results", str(options.results), "--folder", str(options.folder)]
    return given + ["--tiny"] * options.tiny + ["--pretended"] * options.pretended


def _card_name(options: argparse.Namespace) -> str:
    """What the card is called: asked in a process of its own, so that this one takes nothing of it."""
    found = subprocess.run(_command(options, "name"), capture_output=True, text=True, check=True).stdout
    return found.strip().splitlines()[-1]


def _part(part: str, options: argparse.Namespace, name: str) -> None:
    """Run a part in processes of its own until all is measured or its time is over."""
    end = time.monotonic() + LIMITS[part]
    while (left := end - time.monotonic()) > 1:
        print(f"== {part}, {left:.0f} s", flush=True)
        try:
            ended = subprocess.run(_command(options, part, name), timeout=left, check=False)
        except subprocess.TimeoutExpired:
            print(f"== {part} was cut; it goes on here when it is run again", flush=True)
            return
        if ended.returncode == 0:
            return


def _inside(options: argparse.Namespace) -> None:
    """What runs in the process of a part."""
    from tests.device.pretended import PretendedDevices
    from tests.gpu.card import Card, Place

    folder = options.folder / ("tiny" if options.tiny else "full")
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        devices = (
            held.enter_context(PretendedDevices("cuda", int(PRETENDED_GIB * 2**30))) if options.pretended else None
        )
        card = Card(options.device, devices)
        if options.inside == "name":
            print(f"{card.name}-tiny" if options.tiny else card.name)
            return
        log = Log([one / f"{options.name}.jsonl" for one in _folders(options)])
        part = import_module(f"tests.gpu.{options.inside}")
        measure(options.inside, part.measurements(Place(card, options.tiny, folder)), log)


if __name__ == "__main__":
    sys.exit(main())
