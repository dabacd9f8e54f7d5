"""`weft run` on file systems too small for what it keeps: says what became of each run, and of the next with room.

unshare -rm python -m tests.engine.workers.filled FOLDER TRIALS
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

from weft.engine.cli import call
from weft.engine.store.disk import DiskStore

NODES = Path(__file__).with_name("light.py")


def ran(folder: Path, store: Path) -> tuple[int, str, str]:
    """The exit code of `weft run`, and what it wrote."""
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = call(
            ["run", str(folder / "graph.json"), "--store", str(store), "--nodes", str(NODES), "--device", "cpu"]
        )
    return code, out.getvalue(), err.getvalue()


def trial(folder: Path, room: int, whole: str) -> dict[str, Any]:
    """Run with so many kilobytes of room, look at the store, run again with more."""
    place = folder / "store"
    place.mkdir(exist_ok=True)
    mount("-t", "tmpfs", "-o", f"size={room}k", "tmpfs", str(place))
    full, first, err = ran(folder, place)
    faults = [str(fault) for fault in DiskStore(place).verify()]
    mount("-o", "remount,size=10m", str(place))
    code, second, _ = ran(folder, place)
    faults += [str(fault) for fault in DiskStore(place).verify()]
    subprocess.run(["umount", str(place)], check=True)
    right = [first == whole, second == whole]
    return {"full": full, "message": err, "faults": faults, "with room": code, "right": right}


def mount(*arguments: str) -> None:
    """Mount, in this process's own view."""
    subprocess.run(["mount", *arguments], check=True)


def main() -> None:
    """Print a line a trial."""
    folder, rooms = Path(sys.argv[1]), random.Random(7)
    _, whole, _ = ran(folder, folder / "whole")
    for _ in range(int(sys.argv[2])):
        print(json.dumps(trial(folder, rooms.randrange(4, 360, 4), whole)))


if __name__ == "__main__":
    main()
