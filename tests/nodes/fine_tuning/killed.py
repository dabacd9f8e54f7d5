"""A process that trains and kills itself after a step: its arguments are folder, models, inputs and step."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from weft.engine import Engine
from weft.engine.events import Event, NodeProgress


def main(folder: Path, models: str, inputs: str, step: int) -> None:
    """Run the graph of a folder until a step is reported."""

    def hear(event: Event) -> None:
        if isinstance(event, NodeProgress) and event.step >= step:
            os.kill(os.getpid(), signal.SIGKILL)

    places: dict[str, Any] = {name: folder / name for name in ("store", "output")}
    places |= {"models": [models], "inputs": [inputs]}
    with Engine(device="cpu", precision="float32", checkpoint_every=1e-9, **places) as engine:
        engine.run(folder / "graph.json", listener=hear)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]))
