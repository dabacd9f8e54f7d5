"""A job of 20 clips, whose workers are killed twice, is complete; in some minutes: `pytest -m slow FILE`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy
import pytest
from PIL import Image as Pictures

from tests.imports import ROOT
from weft.engine import Engine, Graph

CLIPS, FRAMES = 20, 4

SMALL: dict[str, Any] = {"steps": 2, "frames": FRAMES, "width": 64, "height": 64}


def frames_of(path: Path) -> Any:
    """The frames of an animated picture."""
    with Pictures.open(path) as clip:
        found = []
        for number in range(getattr(clip, "n_frames", 1)):
            clip.seek(number)
            found.append(numpy.asarray(clip.convert("RGB")))
    return numpy.stack(found)


@pytest.mark.slow
def test_a_job_of_clips_that_is_killed_twice_is_complete(tmp_path: Path) -> None:
    sweep = {"seed": {"count": CLIPS, "start": 0}, **{name: [given] for name, given in SMALL.items()}}
    job = {"weft_job": 1, "graph": str(ROOT / "graphs/video.json"), "name": "{seed}", "sweep": sweep}
    (tmp_path / "clips.json").write_text(json.dumps(job))
    out = tmp_path / "out"
    start = "from weft.engine.cli import main; main()"
    command = [sys.executable, "-c", start, "farm", "run", "clips.json", "--workers", "2", "--out", str(out)]
    options: dict[str, Any] = {"cwd": tmp_path, "env": {**os.environ, "WEFT_HOME": str(tmp_path / "home")}}

    def made() -> list[Path]:
        return sorted(out.glob("*.webp"), key=lambda path: int(path.stem.split("_")[0]))

    for least in (4, 11):
        running = subprocess.Popen(command, start_new_session=True, **options)
        while len(made()) < least:
            assert running.poll() is None
            time.sleep(0.1)
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()
        assert least <= len(made()) < CLIPS
    before = {path: path.stat().st_mtime_ns for path in made()}
    subprocess.run(command, check=True, **options)
    clips = made()
    print(f"{len(before)} clips after two kills, {len(clips)} in the end")
    assert len(clips) == CLIPS and before.items() <= {path: path.stat().st_mtime_ns for path in clips}.items()
    assert {frames_of(path).shape for path in clips} == {(FRAMES, 64, 64, 3)}
    with Engine(store=None, device="cpu", output=tmp_path / "alone") as engine:
        alone = engine.run(Graph.load(ROOT / "graphs/video.json").replace(**SMALL, seed=CLIPS - 1)).paths
    assert numpy.array_equal(frames_of(Path(alone[0])), frames_of(clips[-1]))
