"""`weft watch`: runs at once, again at a save, and ends with Ctrl-C."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

from tests.engine.cli.conftest import SUM, Weft


def test_it_runs_at_every_save_until_ctrl_c(folder: Path) -> None:
    heed = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"  # ignored in background jobs
    code = f"{heed}; from weft.engine.cli import main; main()"
    command = [sys.executable, "-c", code, "watch", "sum.json", "--nodes", "nodes.py"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "output/dot_0001.png\n"
        (folder / "sum.json").write_text(json.dumps(SUM).replace('"b": 3', '"b": 4'))
        assert process.stdout.readline() == "output/dot_0002.png\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in err


def test_a_missing_file_cannot_be_watched(weft: Weft) -> None:
    ended = weft("watch", "none.json")
    assert ended.code == 2 and "`none.json`" in ended.err
