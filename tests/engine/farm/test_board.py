"""The board of a job: what is drawn of a moment, and where."""

from __future__ import annotations

import os
import pty
import subprocess
from contextlib import suppress
from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from tests.engine.farm.conftest import WEFT, Place
from weft.engine.cli.farm.board import board
from weft.engine.farm.report.job_progress import JobProgress
from weft.engine.farm.submit import submit
from weft.engine.farm.work.worker import Worker

MOMENT = JobProgress(
    title="Faces [bold]",
    state="running",
    cause="",
    counts={"done": 30, "failed": 6, "leased": 1, "waiting": 63},
    total=100,
    rate=1.25,
    left=3671.2,
    failures=tuple((number, f"face_{number}", f"decode:\n no {number}") for number in range(6)),
    workers={"12-ab": "c0ffee", "13-cd": ""},
)


def drawn(progress: JobProgress, width: int = 80) -> list[str]:
    """The lines of a board."""
    console = Console(record=True, width=width, file=StringIO())
    console.print(board(progress, {"c0ffee": "0042_[x]"}))
    return [line.rstrip() for line in console.export_text().splitlines()]


def test_a_board_says_how_a_job_goes() -> None:
    head, bar, *lines = drawn(MOMENT)
    assert head == "Faces [bold]  running" and bar.startswith("━━")
    assert bar.endswith("36/100  1.25 it/s  ETA 1:01:11  6 failed")
    assert lines[:2] == ["  12-ab             0042_[x]", "  13-cd             waiting"]
    assert lines[2:] == [f"  failed  face_{number}: decode: no {number}" for number in range(2, 6)] + [
        "  and 2 more before them"
    ]


@pytest.mark.parametrize("width", [40, 80, 200])
def test_a_board_keeps_within_its_terminal(width: int) -> None:
    long = replace(MOMENT, failures=((1, "a" * 300, "b"),), workers={"c" * 300: ""})
    lines = drawn(long, width)
    assert len(lines) == 4 and all(len(line) <= width for line in lines)


def test_a_job_without_items_or_that_stopped_is_drawn() -> None:
    nothing = replace(MOMENT, counts={}, total=0, rate=0.0, left=None, failures=(), workers={})
    assert drawn(nothing)[1].endswith("0/0  - it/s  ETA -  0 failed")
    assert drawn(replace(nothing, state="stopped", cause="the disk is full"))[:2] == [
        "Faces [bold]  stopped",
        "  the disk is full",
    ]


def in_a_terminal(place: Place, *arguments: str) -> str:
    """What a command of the farm draws on a terminal of 100 columns."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [*WEFT, "farm", *arguments], cwd=place.folder, stdout=theirs, stderr=theirs, env=environment
    )
    os.close(theirs)
    shown = b""
    with suppress(OSError):  # how a terminal ends on Linux
        while part := os.read(ours, 4096):
            shown += part
    os.close(ours)
    assert process.wait(60) == 0
    return shown.decode()


def test_run_and_watch_draw_in_a_terminal(place: Place) -> None:
    place.job({"seed": {"count": 3}}, title="Dots")
    options = ["--out", "out", "--nodes", "nodes.py", "--store", "store", "--device", "cpu"]
    shown = in_a_terminal(place, "run", "job.json", *options)
    assert "it/s" in shown and "\x1b[2K" in shown and "Dots: finished, 3 of 3 (3 done)" in shown
    submit(place.job({"seed": {"count": 4}}, title="Dots"), place.out, place.setup)
    watching = [*WEFT, "farm", "status", "out", "--watch"]
    piped = subprocess.Popen(watching, cwd=place.folder, stdout=subprocess.PIPE, text=True)
    assert piped.stdout and "Dots: running, 3 of 4" in piped.stdout.readline()
    Worker(place.out).work()
    assert "\x1b" not in piped.communicate(timeout=60)[0]
