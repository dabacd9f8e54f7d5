"""Commands as people call them, and two workers of a farm on one card."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import partial
from hashlib import sha256
from pathlib import Path

from tests.gpu.card import Place
from tests.gpu.figures import Figure, Measurement

ROOT = Path(__file__).parents[2]

WEFT = (sys.executable, "-c", "from weft.engine.cli import main; main()")

GRAPH = "graphs/text_to_image.json"


TINY = {"steps": 2, "width": 32, "height": 32}
"""Parameters of the graph, to try it out."""

PRETENDED_SITE = Path(__file__).with_name("pretended_site")
"""What has a process pretend a device."""


def measurements(place: Place) -> Iterator[Measurement]:
    """What is measured."""
    yield Measurement("commands", partial(_commands, place))
    yield Measurement("two workers on one card", partial(_workers, place))


def _called(place: Place, words: Sequence[str], store: str) -> tuple[float, str]:
    """Seconds of a command, and what it printed."""
    started = time.perf_counter()
    environment = {**os.environ, "WEFT_STORE": store}
    if place.card.pretended:
        folders = [str(PRETENDED_SITE), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment["PYTHONPATH"] = os.pathsep.join(folders)
    ran = subprocess.run([*WEFT, *words], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise RuntimeError(f"weft {' '.join(words)}: {ran.stderr.strip()[-300:]}")
    return time.perf_counter() - started, ran.stdout


def _commands(place: Place) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as store:
        run = ["run", GRAPH, "--device", place.card.device, "--out", store]
        if place.tiny:
            run += [word for name, number in TINY.items() for word in ("--set", f"{name}={number}")]
        for name, words in (
            ("weft run", run),
            ("weft run, from the store", run),
            ("weft run, another seed", [*run, "--set", "seed=5"]),
            ("weft plan", ["plan", GRAPH, "--device", place.card.device]),
            ("weft check", ["check", GRAPH]),
            ("weft devices", ["devices"]),
        ):
            yield Figure(name, _called(place, words, store)[0], "s")


def _workers(place: Place) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        job = json.loads((ROOT / "graphs/jobs/landscapes.json").read_text())
        job["graph"] = str(ROOT / GRAPH)
        job["sweep"] = {"seed": {"count": 4 if place.tiny else 60, "start": 40}}
        job["name"] = "{seed}"
        if place.tiny:
            job["set"] = TINY
        path = Path(folder, "job.json")
        path.write_text(json.dumps(job))
        found = []
        for workers in (1, 2):
            out = Path(folder, f"of_{workers}")
            devices = ",".join([place.card.device] * workers)
            words = ["farm", "run", str(path), "--devices", devices, "--out", str(out)]
            took, _ = _called(place, words, str(Path(folder, f"store_{workers}")))
            yield Figure(f"{workers} worker{'s' * (workers > 1)}", took, "s")
            found.append({one.name: sha256(one.read_bytes()).hexdigest() for one in out.rglob("*.png")})
        yield Figure("pictures", len(found[0]))
        apart = sum(found[0].get(name) != one for name, one in found[1].items())
        yield Figure("pictures that differ by the number of workers", apart, "", 0)
